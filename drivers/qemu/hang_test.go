package qemu_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/qemu"
)

// started gives a machine that runs until the test ends.
func started(t *testing.T) (*qemu.Driver, drivers.Machine, drivers.Status) {
	t.Helper()
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	t.Cleanup(func() {
		if _, err := d.Stop(context.Background(), m, 0); err != nil {
			t.Errorf("at the end, stop: %v", err)
		}
	})
	start(t, d, m)
	return d, m, status(t, d, m)
}

func start(t *testing.T, d *qemu.Driver, m drivers.Machine) {
	t.Helper()
	if err := d.Create(t.Context(), m); err != nil {
		t.Fatalf("create: %v", err)
	}
	if err := d.Start(t.Context(), m); err != nil {
		t.Fatalf("start: %v", err)
	}
}

func status(t *testing.T, d *qemu.Driver, m drivers.Machine) drivers.Status {
	t.Helper()
	s, err := d.Status(t.Context(), m)
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	return s
}

// TestAProcessThatHangsIsSeenInTimeAndKilled stops a QEMU in its tracks: its
// sockets still connect, and nothing answers.
func TestAProcessThatHangsIsSeenInTimeAndKilled(t *testing.T) {
	d, m, was := started(t)
	if err := syscall.Kill(was.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := status(t, d, m)
	if s.State != drivers.Running || s.PID != was.PID || !strings.Contains(s.Detail, "monitor does not answer") {
		t.Errorf("status %+v, want running, and that it does not answer", s)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("status took %s", took)
	}
	if err := d.Start(t.Context(), m); err != nil {
		t.Errorf("start what hangs: %v", err)
	}
	report, err := d.Stop(t.Context(), m, 100*time.Millisecond)
	if err != nil || report.By != drivers.StopKILL {
		t.Errorf("stopped by %q, %v, want %s", report.By, err, drivers.StopKILL)
	}
	if s := status(t, d, m); s.State != drivers.Stopped {
		t.Errorf("after stop: %+v", s)
	}
}

// TestSeveralMayAskAtOnce: QEMU serves one monitor at a time and lets only two
// more wait; the others are told to try again.
func TestSeveralMayAskAtOnce(t *testing.T) {
	d, m, was := started(t)
	var group sync.WaitGroup
	answers := make([]drivers.Status, 8)
	for n := range answers {
		group.Go(func() { answers[n], _ = d.Status(t.Context(), m) })
	}
	group.Wait()
	for _, s := range answers {
		if diff := cmp.Diff(was, s); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	}
}

func TestAPausedMachineSaysSoAndGoesOn(t *testing.T) {
	d, m, was := started(t)
	tell(t, m, "stop")
	if s := status(t, d, m); s.State != drivers.Paused || s.PID != was.PID {
		t.Errorf("status %+v, want paused", s)
	}
	if err := d.Start(t.Context(), m); err != nil {
		t.Fatalf("start what is paused: %v", err)
	}
	if s := status(t, d, m); s.State != drivers.Running || s.PID != was.PID {
		t.Errorf("status %+v, want running, process %d", s, was.PID)
	}
}

// TestALostDirectoryMakesNoSecondProcess: without its lock and its record, and
// created anew, the machine still has the one process.
func TestALostDirectoryMakesNoSecondProcess(t *testing.T) {
	d, m, was := started(t)
	if err := os.RemoveAll(m.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, d, m)
	if s := status(t, d, m); s.State != drivers.Running || s.PID != was.PID {
		t.Errorf("status %+v, want process %d", s, was.PID)
	}
}

// tell says one command to the machine's monitor, as a person might by hand.
func tell(t *testing.T, m drivers.Machine, command string) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(m.RunDir, "qmp"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	lines.Scan() // the greeting
	for _, c := range []string{"qmp_capabilities", command} {
		if _, err := fmt.Fprintf(conn, `{"execute":%q}`, c); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() && !strings.Contains(lines.Text(), `"return"`) {
		}
		if !strings.Contains(lines.Text(), `"return"`) {
			t.Fatalf("%s: %q", c, lines.Text())
		}
	}
}
