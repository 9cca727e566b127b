package qemu_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/qemu"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/spec"
)

// launched is a machine that runs; it is gone when the test ends.
func launched(t *testing.T, d *qemu.Driver, m drivers.Machine) drivers.Status {
	t.Helper()
	created(t, d, m)
	if err := d.Start(t.Context(), m); err != nil {
		t.Fatalf("start: %v", err)
	}
	return is(t, d, m, drivers.Running)
}

func created(t *testing.T, d *qemu.Driver, m drivers.Machine) {
	t.Helper()
	t.Cleanup(func() {
		ctx := context.Background()
		_, err := d.Stop(ctx, m, 0)
		if err := errors.Join(err, d.Delete(ctx, m)); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	if err := d.Create(t.Context(), m); err != nil {
		t.Fatalf("create: %v", err)
	}
}

func is(t *testing.T, d *qemu.Driver, m drivers.Machine, want drivers.State) drivers.Status {
	t.Helper()
	s, err := d.Status(t.Context(), m)
	if err != nil || s.State != want {
		t.Fatalf("status %+v, %v; want %s", s, err, want)
	}
	return s
}

// up waits until the guest has said that it is up.
func up(t *testing.T, m drivers.Machine) {
	t.Helper()
	until(t, "the guest comes up", func() bool {
		content, err := os.ReadFile(filepath.Join(m.Dir, drivers.ConsoleLog))
		return err == nil && strings.Contains(string(content), guest.Marker(guest.StageUp))
	})
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(3 * time.Minute); !done(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// monitor is a test's own connection to QEMU's monitor.
func monitor(t *testing.T, m drivers.Machine, commands ...string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(m.RunDir, "qmp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	lines := bufio.NewScanner(conn)
	lines.Scan() // the greeting
	for _, command := range append([]string{"qmp_capabilities"}, commands...) {
		if _, err := fmt.Fprintf(conn, `{"execute":%q}`+"\n", command); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() && !strings.Contains(lines.Text(), `"return"`) {
			continue
		}
	}
	return conn
}

func TestThePowerButtonReachesAPausedGuest(t *testing.T) {
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	was := launched(t, d, m)
	up(t, m)
	monitor(t, m, "stop").Close()
	paused := is(t, d, m, drivers.Paused)
	if paused.PID != was.PID || paused.Detail != "paused" {
		t.Errorf("status %+v", paused)
	}
	report, err := d.Stop(t.Context(), m, time.Minute)
	if err != nil || report.By != drivers.StopACPI {
		t.Errorf("stop: %+v, %v; want %s", report, err, drivers.StopACPI)
	}
}

// tooLong is more than what a status may take of a QEMU that does not answer.
const tooLong = 3 * time.Second

// TestTheLadder: each rung is taken when those above it do not work. The last
// one is for processes that hang.
func TestTheLadder(t *testing.T) {
	const grace = 300 * time.Millisecond
	for name, test := range map[string]struct {
		hinder func(t *testing.T, m drivers.Machine)
		want   drivers.StopStep
	}{
		"a guest that hears no button": {func(*testing.T, drivers.Machine) {}, drivers.StopQuit},
		"a monitor that is taken": {func(t *testing.T, m drivers.Machine) {
			monitor(t, m)
		}, drivers.StopTERM},
	} {
		t.Run(name, func(t *testing.T) {
			d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
			m.Boot.Initrds = nil // a kernel that ends in a panic, and hears nothing
			m.Boot.Cmdline = "console=ttyS0"
			s := launched(t, d, m)
			test.hinder(t, m)
			began := time.Now()
			if now := is(t, d, m, drivers.Running); now.PID != s.PID || time.Since(began) > tooLong {
				t.Errorf("after %s: %+v", time.Since(began), now)
			}
			report, err := d.Stop(t.Context(), m, grace)
			if err != nil || report.By != test.want || report.Took < grace {
				t.Errorf("stop: %+v, %v; want %s", report, err, test.want)
			}
			is(t, d, m, drivers.Stopped)
		})
	}
}

func TestItStandsAloneAndHardened(t *testing.T) {
	t.Setenv("LKUP_TEST_SECRET", "secret")
	d, m := qemu.New(qemu.Settings{Env: []string{"LKUP_TEST_GIVEN=given"}}), machine(t, t.TempDir())
	s := launched(t, d, m)
	proc := fmt.Sprintf("/proc/%d/", s.PID)
	if _, err := os.Stat(proc); err != nil {
		t.Logf("no %s here: only modes are looked at", proc)
	} else {
		read := func(name string) string {
			content, err := os.ReadFile(proc + name)
			if err != nil {
				t.Fatal(err)
			}
			return string(content)
		}
		if diff := cmp.Diff("LKUP_TEST_GIVEN=given\x00", read("environ")); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
		if !strings.Contains(read("status"), "\nSeccomp:\t2\n") {
			t.Error("it has no seccomp filter")
		}
		_, fields, _ := strings.Cut(read("stat"), ") ")
		if session := strings.Fields(fields)[3]; session != fmt.Sprint(s.PID) {
			t.Errorf("it is in session %s, want one of its own", session)
		}
	}
	for _, path := range []string{filepath.Join(m.RunDir, "qmp"), filepath.Join(m.RunDir, "console"), filepath.Join(m.Dir, drivers.ConsoleLog), filepath.Join(m.Dir, "run.json")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", path, info.Mode().Perm())
		}
	}
}

// TestNamedCauses: what can be known says what it is, where, and what to type,
// and leaves nothing running.
func TestNamedCauses(t *testing.T) {
	missing := func(string) (string, error) { return "", exec.ErrNotFound }
	for name, test := range map[string]struct {
		settings qemu.Settings
		spoil    func(t *testing.T, m *drivers.Machine)
		want     []string
	}{
		"no QEMU": {qemu.Settings{LookPath: missing}, func(*testing.T, *drivers.Machine) {},
			[]string{"qemu-system-", "is not installed; type: "}},
		"no kernel": {qemu.Settings{}, func(_ *testing.T, m *drivers.Machine) { m.Boot.Kernel = "/no/kernel" },
			[]string{"the kernel cannot be read", "/no/kernel"}},
		"no initrd": {qemu.Settings{}, func(_ *testing.T, m *drivers.Machine) { m.Boot.Initrds = []string{"/no/initrd"} },
			[]string{"the initrd cannot be read", "/no/initrd"}},
		"nothing to boot": {qemu.Settings{}, func(_ *testing.T, m *drivers.Machine) { m.Boot = drivers.Boot{} },
			[]string{"vm.test has neither a kernel nor a disk"}},
		"no shared directory": {qemu.Settings{}, func(_ *testing.T, m *drivers.Machine) {
			m.Shares = []drivers.Share{{Tag: "share0", Host: "/no/site", Guest: "/srv"}}
		}, []string{"the shared directory /no/site is not there", "share for /srv"}},
		"a long path": {qemu.Settings{}, func(t *testing.T, m *drivers.Machine) {
			m.RunDir = filepath.Join(m.RunDir, strings.Repeat("x", 100))
			if err := os.Mkdir(m.RunDir, 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"too long for a socket", "LKUP_RUNTIME_DIR"}},
		"no kernel at all": {qemu.Settings{}, func(t *testing.T, m *drivers.Machine) {
			m.Boot.Kernel = filepath.Join(m.Dir, "text")
			if err := os.WriteFile(m.Boot.Kernel, []byte(strings.Repeat("text ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"QEMU ended at once, with exit status 1:\n", "kernel"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, m := qemu.New(test.settings), machine(t, t.TempDir())
			test.spoil(t, &m)
			created(t, d, m)
			err := d.Start(t.Context(), m)
			if err == nil {
				t.Fatal("it starts")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			var exit *qemu.ExitError
			if errors.As(err, &exit) && exit.Command != d.CommandLine(m) {
				t.Errorf("the error has the command\n%s\nwant\n%s", exit.Command, d.CommandLine(m))
			}
			is(t, d, m, drivers.Stopped)
		})
	}
}

func TestAQEMUWithoutSeccompRunsWithoutIt(t *testing.T) {
	real, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v; type: sudo apt-get install qemu-system-x86", err)
	}
	wrapper := filepath.Join(t.TempDir(), "qemu")
	script := `#!/bin/sh
case "$*" in
-help) echo "no such option is listed"; exit 0 ;;
*-sandbox*) echo "-sandbox support is not enabled in this QEMU binary" >&2; exit 1 ;;
esac
exec ` + real + ` "$@"
`
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	d, m := qemu.New(qemu.Settings{LookPath: func(string) (string, error) { return wrapper, nil }}), machine(t, t.TempDir())
	launched(t, d, m)
	if strings.Contains(d.CommandLine(m), "-sandbox") {
		t.Errorf("the command line still shows it: %s", d.CommandLine(m))
	}
}

// TestTheCommandLineStartsTheMachineByHand: what a start error shows can be
// pasted into a shell.
func TestTheCommandLineStartsTheMachineByHand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a, b's")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, m := qemu.New(qemu.Settings{}), machine(t, dir)
	launched(t, d, m)
	if _, err := d.Stop(t.Context(), m, 0); err != nil {
		t.Fatal(err)
	}
	byHand := exec.Command("sh", "-c", "exec "+d.CommandLine(m))
	byHand.Stderr = os.Stderr
	if err := byHand.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- byHand.Wait() }()
	until(t, "its monitor answers", func() bool {
		if len(ended) > 0 {
			t.Fatalf("it ended: %v", <-ended)
		}
		conn, err := net.Dial("unix", filepath.Join(m.RunDir, "qmp"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	monitor(t, m, "query-status", "quit")
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// TestDisks: machines share an image, and each writes to a layer of its own.
func TestDisks(t *testing.T) {
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			d := qemu.New(qemu.Settings{})
			base := filepath.Join(t.TempDir(), "an image, shared")
			image(t, "-f", format, base, "3M")
			before, err := os.ReadFile(base)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				m := machine(t, t.TempDir())
				m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: base, Format: format}}}
				launched(t, d, m)
				overlay := filepath.Join(m.Dir, "disk0.qcow2")
				if got := virtualSize(t, overlay); got != 3<<20 {
					t.Errorf("the layer has %d bytes, want 3 MiB", got)
				}
				layer, err := os.Stat(overlay)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Create(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				if again, err := os.Stat(overlay); err != nil || !os.SameFile(layer, again) {
					t.Errorf("another create made another layer: %v", err)
				}
			}
			after, err := os.ReadFile(base)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("the image was written to")
			}
		})
	}
}

// TestAnImageCannotNameOtherFiles: a header may say that another file lies
// below the image, and QEMU would show it to the guest.
func TestAnImageCannotNameOtherFiles(t *testing.T) {
	base := filepath.Join(t.TempDir(), "hostile.qcow2")
	image(t, "-u", "-f", "qcow2", "-F", "raw", "-b", "/no/such/file", base, "1M")
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: base, Format: "qcow2"}}}
	launched(t, d, m) // it would fail, had it looked for that file
}

func TestAnImageOfAnotherFormatIsRefused(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	image(t, "-f", "raw", base, "1M")
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	for format, want := range map[string]string{"qcow2": "is not in the format qcow2", "vmdk": "QEMU is given raw or qcow2"} {
		m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: base, Format: format}}}
		if err := d.Create(t.Context(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", format, err, want)
		}
	}
	is(t, d, m, drivers.Absent)
}

func image(t *testing.T, words ...string) {
	t.Helper()
	if output, err := exec.Command("qemu-img", append([]string{"create", "-q"}, words...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v; type: sudo apt-get install qemu-utils\n%s", err, output)
	}
}

func virtualSize(t *testing.T, path string) int64 {
	t.Helper()
	output, err := exec.Command("qemu-img", "info", "-U", "-f", "qcow2", "--output=json", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal(output, &info); err != nil {
		t.Fatal(err)
	}
	return info.Size
}

func TestDoctor(t *testing.T) {
	for _, f := range qemu.New(qemu.Settings{}).Diagnose(t.Context()) {
		if f.Level == drivers.Fail || f.Detail == "" {
			t.Errorf("on a host that runs machines: %+v", f)
		}
	}
	nothing := qemu.New(qemu.Settings{LookPath: func(string) (string, error) { return "", exec.ErrNotFound }})
	levels := map[string]drivers.Level{}
	for _, f := range nothing.Diagnose(t.Context()) {
		levels[strings.TrimRight(f.Name, "_x8643arch")] = f.Level
		if f.Level == drivers.Fail && f.Hint == "" {
			t.Errorf("it does not say what to type: %+v", f)
		}
	}
	if levels["qemu-system-"] != drivers.Fail || levels["qemu-img"] != drivers.Warn {
		t.Errorf("without QEMU: %v", levels)
	}
}

func TestCheckFindsWhatQEMUCannotDo(t *testing.T) {
	fine := spec.VM{CPUs: 2, Ports: []spec.Port{
		{Guest: 80, Address: "127.0.0.1", Protocol: "tcp"}, {Guest: 53, Address: "0.0.0.0", Protocol: "udp"},
	}, Shares: []spec.Share{{Guest: "/srv"}}}
	many := make([]spec.Share, 25)
	many[24].Guest = "/last"
	bad := spec.VM{CPUs: 256, Shares: many, Ports: []spec.Port{
		{Guest: 80, Address: "::1", Protocol: "tcp"}, {Guest: 53, Address: "::", Protocol: "udp"},
	}}
	copied := fine
	copied.Shares = []spec.Share{{Guest: "/copy", Type: spec.ShareSync, ReadOnly: true}, {Guest: "/ro", Type: spec.ShareVirtiofs, ReadOnly: true}}
	for name, test := range map[string]struct {
		vm   spec.VM
		want []string
	}{
		"nothing":    {fine, nil},
		"virtiofs":   {copied, []string{"share[/ro]"}},
		"everything": {bad, []string{"cpus", "port[80]", "port[53/udp]", "share[/last]"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range qemu.New(qemu.Settings{}).Check(test.vm) {
				got = append(got, p.Attribute)
				if p.Summary == "" || p.Hint == "" {
					t.Errorf("it does not say what to do: %+v", p)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckSaysWhyThereIsNoVirtiofs(t *testing.T) {
	vm := spec.VM{CPUs: 1, Shares: []spec.Share{{Guest: "/srv", Type: spec.ShareVirtiofs}}}
	readOnly := vm
	readOnly.Shares = []spec.Share{{Guest: "/srv", Type: spec.ShareVirtiofs, ReadOnly: true}}
	comma := vm
	comma.Shares = []spec.Share{{Host: "./a,cache=none", Guest: "/srv", Type: spec.ShareVirtiofs}}
	installed := func(name string) (string, error) { return "/usr/bin/" + name, nil }
	missing := func(string) (string, error) { return "", exec.ErrNotFound }
	for name, test := range map[string]struct {
		vm   spec.VM
		look func(string) (string, error)
		want string
	}{
		"installed": {vm, installed, ""},
		"missing":   {vm, missing, "virtiofsd is not installed"},
		"comma":     {comma, installed, "virtiofsd takes no directory with a comma in its name"},
		"read-only": {readOnly, installed, "virtiofsd cannot keep a guest from writing"},
	} {
		got := ""
		for _, p := range qemu.New(qemu.Settings{LookPath: test.look}).Check(test.vm) {
			got += p.Summary
		}
		if runtime.GOOS != "linux" {
			test.want = "virtiofs takes a Linux host"
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// BenchmarkStatus is what `lkup ps` and every plan cost for each machine.
func BenchmarkStatus(b *testing.B) {
	bootFiles, err := built()
	if err != nil {
		b.Fatal(err)
	}
	run, err := os.MkdirTemp("", "lkup")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(run)
	d := qemu.New(qemu.Settings{})
	m := drivers.Machine{ID: "0badcafe", Nonce: "benchmark", Name: "b", Dir: b.TempDir(), RunDir: run, Arch: "amd64", CPUs: 1, Memory: 128, MAC: "52:54:00:00:00:01", Boot: bootFiles}
	if err := errors.Join(d.Create(b.Context(), m), d.Start(b.Context(), m)); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if _, err := d.Stop(context.Background(), m, 0); err != nil {
			b.Error(err)
		}
	}()
	for b.Loop() {
		if _, err := d.Status(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
