package qemu_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/drivertest"
	"github.com/lkup/lkup/drivers/qemu"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/process"
)

func TestContract(t *testing.T) {
	boot(t) // once, and outside of the tests' time limits
	drivertest.Run(t, drivertest.Harness{
		Driver:  func(*testing.T) drivers.Driver { return qemu.New(qemu.Settings{}) },
		Machine: machine,
		Kill: func(t *testing.T, _ drivers.Machine, s drivers.Status) {
			if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		},
		Mislead:  mislead,
		Apart:    startApart,
		Up:       guest.Marker(guest.StageUp),
		Guest:    &drivertest.Guest{HTTP: 80, Echo: 7},
		Machines: 2,
		Kills:    8,
	})
}

// machine is a small machine that boots testdata/guest. When the test ends, no
// process of it may be left.
func machine(t *testing.T, dir string) drivers.Machine {
	t.Helper()
	run, err := os.MkdirTemp("", "lkup") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	id := random(t, 4)
	m := drivers.Machine{
		Address: "vm.test",
		ID:      id,
		Name:    "test",
		Nonce:   random(t, 8),
		Dir:     filepath.Join(dir, id),
		RunDir:  run,
		Arch:    runtime.GOARCH,
		CPUs:    1,
		Memory:  128,
		MAC:     "52:54:00:" + id[:2] + ":" + id[2:4] + ":" + id[4:6],
		Boot:    boot(t),
	}
	if err := os.Mkdir(m.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noneLeft(t, m.Nonce) }) // runs after the cleanups of whoever asked for the machine
	return m
}

func noneLeft(t *testing.T, nonce string) {
	t.Helper()
	left, err := process.Find(nonce)
	if err != nil {
		t.Error(err)
	}
	for _, i := range left {
		t.Errorf("process %d was left behind", i.PID)
		_ = i.Signal(syscall.SIGKILL)
	}
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
	content, err := json.Marshal(map[string]any{"pid": i.PID, "start": i.Start, "nonce": i.Nonce})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func startApart(t *testing.T, m drivers.Machine) *exec.Cmd {
	told, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, apart+"=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, apart+"="+string(told))
	return cmd
}
