package fake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/drivertest"
	"github.com/lkup/lkup/drivers/fake"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/spec"
)

// apart makes this test binary a process that starts a machine, told in JSON.
const apart = "LKUP_TEST_START"

func TestMain(m *testing.M) {
	if told := os.Getenv(apart); told != "" {
		if err := startTold(told); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func startTold(told string) error {
	var order struct {
		Root    string
		Machine drivers.Machine
	}
	if err := json.Unmarshal([]byte(told), &order); err != nil {
		return err
	}
	d := fake.New(order.Root)
	return errors.Join(d.Create(context.Background(), order.Machine), d.Start(context.Background(), order.Machine))
}

func TestContract(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	made := 0
	drivertest.Run(t, drivertest.Harness{
		Driver: func(*testing.T) drivers.Driver { return fake.New(root) },
		Machine: func(t *testing.T, dir string) drivers.Machine {
			made++
			return machine(t, dir, made)
		},
		Kill: func(t *testing.T, m drivers.Machine, _ drivers.Status) {
			if err := fake.New(root).Kill(m); err != nil {
				t.Error(err)
			}
		},
		Mislead: func(t *testing.T, m drivers.Machine, pid int) {
			record := filepath.Join(root, m.ID+".json")
			if pid == 0 {
				os.Remove(record)
				return
			}
			if err := os.WriteFile(record, []byte(`{"nonce":"of somebody else","pid":`+strconv.Itoa(pid)+`}`), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Apart: func(t *testing.T, m drivers.Machine) *exec.Cmd {
			told, err := json.Marshal(map[string]any{"Root": root, "Machine": m})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), apart+"="+string(told))
			return cmd
		},
		Up:       guest.Marker(guest.StageUp),
		Machines: 100,
		Kills:    10,
	})
}

func machine(t *testing.T, dir string, n int) drivers.Machine {
	t.Helper()
	m := drivers.Machine{
		Address: spec.Address("vm.test"),
		ID:      fmt.Sprintf("%08x", n),
		Name:    "test",
		Nonce:   fmt.Sprintf("nonce-%d", n),
		Dir:     filepath.Join(dir, "machine"),
		RunDir:  filepath.Join(dir, "run"),
		CPUs:    1, Memory: 128, MAC: fmt.Sprintf("52:54:00:00:00:%02x", n%256),
	}
	for _, path := range []string{m.Dir, m.RunDir} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

var errInjected = errors.New("injected")

func TestFailuresStandBeforeAndAfterEachEffect(t *testing.T) {
	ctx := t.Context()
	type call struct {
		op   string
		call func(d *fake.Driver, m drivers.Machine) error
		// before and after are the states without and with the effect.
		before, after drivers.State
	}
	calls := []call{
		{"create", func(d *fake.Driver, m drivers.Machine) error { return d.Create(ctx, m) }, drivers.Absent, drivers.Stopped},
		{"start", func(d *fake.Driver, m drivers.Machine) error { return d.Start(ctx, m) }, drivers.Stopped, drivers.Running},
		{"stop", func(d *fake.Driver, m drivers.Machine) error { _, err := d.Stop(ctx, m, time.Second); return err }, drivers.Running, drivers.Stopped},
		{"delete", func(d *fake.Driver, m drivers.Machine) error { return d.Delete(ctx, m) }, drivers.Stopped, drivers.Absent},
	}
	m := machine(t, t.TempDir(), 1)
	root := t.TempDir()
	var asked []string
	for _, c := range calls {
		for _, when := range []string{"before ", "after "} {
			d := fake.New(root)
			d.Fail = func(op string, _ drivers.Machine) error {
				asked = append(asked, op)
				if op == when+c.op {
					return errInjected
				}
				return nil
			}
			if err := c.call(d, m); !errors.Is(err, errInjected) {
				t.Errorf("%s%s: %v, want the injected error", when, c.op, err)
			}
			want := c.before
			if when == "after " {
				want = c.after
			}
			if s, err := d.Status(ctx, m); err != nil || s.State != want {
				t.Errorf("failed %s%s: it is %s, %v, want %s", when, c.op, s.State, err, want)
			}
		}
	}
	want := []string{}
	for _, c := range calls {
		want = append(want, "before "+c.op, "before "+c.op, "after "+c.op)
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestAConsoleMaySayAnything(t *testing.T) {
	d := fake.New(t.TempDir())
	d.Console = func(m drivers.Machine) string { return "Kernel panic on " + m.Name + "\n" }
	m := machine(t, t.TempDir(), 1)
	if err := errors.Join(d.Create(t.Context(), m), d.Start(t.Context(), m)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(m.Dir, drivers.ConsoleLog))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("Kernel panic on test\n", string(got)); diff != "" {
		t.Errorf("console (-want +got):\n%s", diff)
	}
}

// BenchmarkThousand is what a large stack costs in this driver, ports included.
func BenchmarkThousand(b *testing.B) {
	for b.Loop() {
		root, dir := b.TempDir(), b.TempDir()
		d := fake.New(root)
		for n := range 1000 {
			m := drivers.Machine{ID: fmt.Sprintf("%08x", n), Nonce: "n", Dir: filepath.Join(dir, strconv.Itoa(n)),
				Ports: []drivers.Port{{Address: "127.0.0.1", Host: 20000 + n, Protocol: "tcp"}}}
			if err := errors.Join(os.Mkdir(m.Dir, 0o700), d.Create(b.Context(), m), d.Start(b.Context(), m)); err != nil {
				b.Fatal(err)
			}
		}
	}
}
