package qemu_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/qemu"
	"github.com/lkup/lkup/internal/process"
)

// TestStartersAtOnceMakeOneProcess: whatever else fails to keep them apart,
// the machine's lock does.
func TestStartersAtOnceMakeOneProcess(t *testing.T) {
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	m.Boot.Initrds = nil // which one start would write while another reads them
	created(t, d, m)
	var starters []*exec.Cmd
	for range 4 {
		starters = append(starters, startApart(t, m))
	}
	for _, s := range starters {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	succeeded := 0
	for _, s := range starters {
		if s.Wait() == nil {
			succeeded++
		}
	}
	found, err := process.Find(m.Nonce)
	if err != nil || len(found) != 1 || succeeded == 0 {
		t.Errorf("%d of %d starts succeeded, and %d processes run (%v), want one", succeeded, len(starters), len(found), err)
	}
	for _, i := range found {
		if s := is(t, d, m, drivers.Running); s.PID != i.PID {
			t.Errorf("process %d runs, and status tells of %d", i.PID, s.PID)
		}
	}
}

// TestTheLockAloneShowsTheProcess: its record may not have been written, and
// its sockets are gone after somebody cleaned up.
func TestTheLockAloneShowsTheProcess(t *testing.T) {
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	m.Boot.Initrds = nil
	was := launched(t, d, m)
	for _, path := range []string{filepath.Join(m.Dir, "run.json"), filepath.Join(m.RunDir, "qmp"), filepath.Join(m.RunDir, "console")} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if now := is(t, d, m, drivers.Running); now.PID != was.PID {
		t.Errorf("process %d, want %d", now.PID, was.PID)
	}
	if report, err := d.Stop(t.Context(), m, 0); err != nil || report.By != drivers.StopTERM {
		t.Errorf("stop: %+v, %v; want %s", report, err, drivers.StopTERM)
	}
}
