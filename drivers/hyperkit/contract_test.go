package hyperkit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/drivertest"
	"github.com/lkup/lkup/drivers/hyperkit"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/process"
	"github.com/lkup/lkup/network"
)

// This test binary is four programs: the tests; a keeper; a program that takes
// Hyperkit's options and behaves as it does, under the name hyperkit; and one
// that starts a machine, told in JSON.
const apart = "LKUP_TEST_START"

func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "hyperkit":
		os.Exit(standIn(os.Args[1:]))
	case len(os.Args) == 3 && os.Args[1] == "keep":
		if err := hyperkit.Keep(os.Stdin, os.Stdout, &lan{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case os.Getenv(apart) != "":
		if err := startTold(os.Getenv(apart)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// told is what the program that starts a machine needs to know.
type told struct {
	Hyperkit string
	Machine  drivers.Machine
}

func startTold(content string) error {
	var o told
	if err := json.Unmarshal([]byte(content), &o); err != nil {
		return err
	}
	d := driver(o.Hyperkit, nil)
	return errors.Join(d.Create(context.Background(), o.Machine), d.Start(context.Background(), o.Machine))
}

func driver(program string, all drivers.Switch) *hyperkit.Driver {
	return hyperkit.New(hyperkit.Settings{
		LookPath: func(name string) (string, error) {
			if name == "hyperkit" {
				return program, nil
			}
			return exec.LookPath(name)
		},
		Keeper:  []string{os.Args[0], "keep"},
		Switch:  all,
		AnyHost: true,
		Env:     []string{"GORACE=atexit_sleep_ms=10"},
	})
}

// lan is a network for one machine: lkup's own switch.
type lan struct{ all *network.Switch }

func (l *lan) Plug(m drivers.Machine, ours, theirs string) error {
	l.all = network.New(network.Settings{Stack: "test", Now: time.Now})
	return l.all.Plug(network.Machine{
		ID: m.ID, Address: string(m.Address), Name: m.Name, Ports: m.Ports,
		NICs: []drivers.NIC{{
			Network: "network.own", Name: "own", MAC: m.MAC, Socket: ours, Switch: theirs, Default: true,
			Subnet: netip.MustParsePrefix("10.0.2.0/24"), Gateway: netip.MustParseAddr("10.0.2.2"), Address: netip.MustParseAddr(guestAddress),
			Subnet6: netip.MustParsePrefix("fd00::/64"), Address6: netip.MustParseAddr("fd00::15"),
		}},
	})
}

func (l *lan) Close() { l.all.Close() }

// program is the stand-in under its name.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hyperkit")
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContract(t *testing.T) {
	stand := program(t)
	drivertest.Run(t, drivertest.Harness{
		Driver:  func(*testing.T) drivers.Driver { return driver(stand, nil) },
		Machine: machine,
		Kill: func(t *testing.T, _ drivers.Machine, s drivers.Status) {
			if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		},
		Mislead: mislead,
		Apart: func(t *testing.T, m drivers.Machine) *exec.Cmd {
			content, err := json.Marshal(told{stand, m})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), apart+"="+string(content))
			return cmd
		},
		Up:       guest.Marker(guest.StageUp),
		Guest:    &drivertest.Guest{HTTP: 80, Echo: 7},
		NoShares: true,
		RawOnly:  true,
		Holder: func(t *testing.T, m drivers.Machine, _ drivers.Status) int {
			return keeperOf(t, m).PID
		},
		Machines: 2,
		Kills:    8,
	})
}

// keeperOf finds the keeper by its command line, which ends in the directory.
func keeperOf(t *testing.T, m drivers.Machine) process.Identity {
	t.Helper()
	found, err := process.Find(m.Dir)
	if err != nil || len(found) != 1 {
		t.Fatalf("keepers of %s: %v, %v, want one", m.Dir, found, err)
	}
	return found[0]
}

// machine is a small machine; when the test ends, no process of it may be left.
func machine(t *testing.T, dir string) drivers.Machine {
	t.Helper()
	run, err := os.MkdirTemp("", "lkup") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	id := random(t, 4)
	m := drivers.Machine{
		Address: "vm.test", ID: id, Name: "test", Nonce: random(t, 8),
		Dir: filepath.Join(dir, id), RunDir: run, Arch: "amd64", CPUs: 1, Memory: 128,
		MAC:  "52:54:00:" + id[:2] + ":" + id[2:4] + ":" + id[4:6],
		Boot: drivers.Boot{Kernel: kernel(t), Initrds: []string{initrd(t)}, Cmdline: "console=ttyS0 a=b,c"},
	}
	if err := os.Mkdir(m.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // runs after the cleanups of whoever asked for the machine
		for _, word := range []string{m.Nonce, m.Dir} {
			left, err := process.Find(word)
			if err != nil {
				t.Error(err)
			}
			for _, i := range left {
				t.Errorf("process %d was left behind", i.PID)
				_ = i.Signal(syscall.SIGKILL)
			}
		}
	})
	return m
}

// kernel is a file that begins as a bzImage does.
func kernel(t *testing.T) string {
	t.Helper()
	content := make([]byte, 4096)
	copy(content[0x202:], "HdrS")
	return file(t, "kernel", content)
}

func initrd(t *testing.T) string { return file(t, "initrd", bytes.Repeat([]byte("initrd"), 100)) }

func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func random(t *testing.T, bytes int) string {
	t.Helper()
	b := make([]byte, bytes)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// mislead rewrites the record as a restored backup or a pid given again would.
func mislead(t *testing.T, m drivers.Machine, pid int) {
	path := filepath.Join(m.Dir, "run.json")
	if pid == 0 {
		os.Remove(path)
		return
	}
	i, err := process.Of(pid, m.ID+"/"+m.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(map[string]any{"hyperkit": i, "keeper": i})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func started(t *testing.T, d *hyperkit.Driver, m drivers.Machine) drivers.Status {
	t.Helper()
	t.Cleanup(func() {
		_, err := d.Stop(context.Background(), m, 0)
		if err := errors.Join(err, d.Delete(context.Background(), m)); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	if err := errors.Join(d.Create(t.Context(), m), d.Start(t.Context(), m)); err != nil {
		t.Fatal(err)
	}
	s, err := d.Status(t.Context(), m)
	if err != nil || s.State != drivers.Running {
		t.Fatalf("status %+v, %v, want running", s, err)
	}
	return s
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func log(m drivers.Machine) string {
	content, _ := os.ReadFile(filepath.Join(m.Dir, drivers.ConsoleLog))
	return string(content)
}

// TestEndings: who starts machines again hears how they ended.
func TestEndings(t *testing.T) {
	for line, want := range map[string]drivers.Ending{"poweroff": drivers.EndedOff, "panic": drivers.EndedBad, "reset": drivers.EndedBad} {
		t.Run(line, func(t *testing.T) {
			d, m := driver(program(t), nil), machine(t, t.TempDir())
			started(t, d, m)
			console, err := d.Console(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			defer console.Close()
			if _, err := io.WriteString(console, line+"\n"); err != nil {
				t.Fatal(err)
			}
			until(t, "it has ended", func() bool {
				s, err := d.Status(t.Context(), m)
				return err == nil && s.State == drivers.Stopped
			})
			if got, err := d.Ended(t.Context(), m); err != nil || got != want {
				t.Errorf("ended %q, %v, want %q", got, err, want)
			}
			if !strings.Contains(log(m), "heard: "+line) || !strings.HasSuffix(log(m), "powering off\r\n") {
				t.Errorf("the log lacks what the guest said last: %s", log(m))
			}
		})
	}
}

// TestAKeeperThatIsKilledIsMissed: Hyperkit runs on, the status says what is
// gone, and a stop and a start mend it.
func TestAKeeperThatIsKilledIsMissed(t *testing.T) {
	d, m := driver(program(t), nil), machine(t, t.TempDir())
	was := started(t, d, m)
	keeper := keeperOf(t, m)
	if err := keeper.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is missed", func() bool {
		s, err := d.Status(t.Context(), m)
		if err != nil || s.State != drivers.Running || s.PID != was.PID {
			t.Fatalf("status %+v, %v, want process %d still", s, err, was.PID)
		}
		return strings.Contains(s.Detail, "keeper is gone") && s.Ports == nil
	})
	if report, err := d.Stop(t.Context(), m, 0); err != nil || report.By != drivers.StopKILL {
		t.Errorf("stop: %+v, %v", report, err)
	}
	started(t, d, m)
}

// TestNamedCauses: what is wrong is said, with what to type, and nothing is
// left running.
func TestNamedCauses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, m *drivers.Machine)
		want  []string
	}{
		"no kernel of its kind": {func(t *testing.T, m *drivers.Machine) { m.Boot.Kernel = file(t, "vmlinux", []byte("\x7fELF")) },
			[]string{"is no bzImage", `driver = "qemu"`}},
		"what Hyperkit refuses": {func(_ *testing.T, m *drivers.Machine) { m.CPUs = 99 },
			[]string{"Hyperkit ended at once, with exit status 1:\n", "invalid memory, processors"}},
		"no kernel": {func(_ *testing.T, m *drivers.Machine) { m.Boot.Kernel = "/no/kernel" }, []string{"the kernel cannot be read", "/no/kernel"}},
		"nothing":   {func(_ *testing.T, m *drivers.Machine) { m.Boot = drivers.Boot{} }, []string{"vm.test has neither a kernel nor a disk"}},
		"a share":   {func(_ *testing.T, m *drivers.Machine) { m.Shares = []drivers.Share{{Guest: "/srv"}} }, []string{"hyperkit has no shares", "/srv", `driver = "qemu"`}},
		"no firmware": {func(t *testing.T, m *drivers.Machine) {
			m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: file(t, "disk", make([]byte, 512)), Format: "raw"}}}
		}, []string{"no UEFI firmware"}},
		"a long path": {func(t *testing.T, m *drivers.Machine) { m.RunDir = filepath.Join(m.RunDir, strings.Repeat("x", 100)) }, []string{"too long for a socket", "LKUP_RUNTIME_DIR"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, m := driver(program(t), nil), machine(t, t.TempDir())
			test.spoil(t, &m)
			if err := d.Create(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			err := d.Start(t.Context(), m)
			if err == nil {
				t.Fatal("it starts")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if s, err := d.Status(t.Context(), m); err != nil || s.State != drivers.Stopped {
				t.Errorf("status %+v, %v, want stopped", s, err)
			}
		})
	}
	nowhere := hyperkit.New(hyperkit.Settings{LookPath: func(string) (string, error) { return "", exec.ErrNotFound }})
	m := machine(t, t.TempDir())
	if err := errors.Join(nowhere.Create(t.Context(), m), nowhere.Start(t.Context(), m)); err == nil || !strings.Contains(err.Error(), "brew install hyperkit") {
		t.Errorf("without Hyperkit: %v", err)
	}
}

// TestDisksAreCopied: machines share an image, boot it by firmware, and write
// to copies of their own.
func TestDisksAreCopied(t *testing.T) {
	base := file(t, "an image, shared", bytes.Repeat([]byte("sector  "), 1<<12))
	d := hyperkit.New(hyperkit.Settings{
		LookPath: func(string) (string, error) { return program(t), nil },
		Keeper:   []string{os.Args[0], "keep"}, AnyHost: true, Firmware: file(t, "UEFI.fd", []byte("firmware")),
	})
	for range 2 {
		m := machine(t, t.TempDir())
		m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: base, Format: "raw"}}}
		started(t, d, m)
		until(t, "it comes up", func() bool { return strings.Contains(log(m), guest.Marker(guest.StageUp)) })
		own, err := os.ReadFile(filepath.Join(m.Dir, "disk0.img"))
		if err != nil || !bytes.HasPrefix(own, []byte("written by the guest")) {
			t.Errorf("its own disk begins with %.30q, %v", own, err)
		}
	}
	if content, err := os.ReadFile(base); err != nil || !bytes.HasPrefix(content, []byte("sector  ")) {
		t.Errorf("the image was written to: %.30q, %v", content, err)
	}
}
