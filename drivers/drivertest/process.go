package drivertest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
)

func outlives(t *testing.T, s *scene) {
	starter := s.h.Apart(t, s.m)
	if output, err := starter.CombinedOutput(); err != nil {
		t.Fatalf("start it in another process: %v\n%s", err, output)
	}
	s.running(t, s.m)
	s.up(t, s.m, 1)
	if report := s.stop(t, s.m, 0); report.By == drivers.StopNone {
		t.Error("it was stopped by nothing")
	}
}

// starterKilled kills who starts a machine at any instant. Whatever is left
// must be seen, must not become two, and must be stopped by one stop.
func starterKilled(t *testing.T, s *scene) {
	began := time.Now()
	if output, err := s.h.Apart(t, s.m).CombinedOutput(); err != nil {
		t.Fatalf("start it in another process: %v\n%s", err, output)
	}
	whole := time.Since(began)
	s.stop(t, s.m, 0)
	seen := map[drivers.State]int{}
	for n := range s.h.Kills {
		// Most of the instants that matter are early.
		part := (float64(n) + rand.Float64()) / float64(s.h.Kills)
		delay := time.Duration(float64(whole) * part * part)
		killAfter(t, s.h.Apart(t, s.m), delay)
		left := s.status(t, s.m)
		seen[left.State]++
		if left.State == drivers.Unknown {
			t.Fatalf("kill %d, after %s: %+v", n, delay, left)
		}
		now := s.start(t, s.m)
		if left.State == drivers.Running && (left.PID != now.PID || !left.Started.Equal(now.Started)) {
			t.Fatalf("kill %d, after %s: one process was left and another runs:\n%+v\n%+v", n, delay, left, now)
		}
		s.stop(t, s.m, 0)
		s.is(t, s.m, drivers.Stopped)
	}
	t.Logf("of %s each, killed at some instant, left: %v", whole, seen)
}

func killAfter(t *testing.T, starter *exec.Cmd, delay time.Duration) {
	t.Helper()
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	killer := time.AfterFunc(delay, func() { _ = starter.Process.Kill() })
	defer killer.Stop()
	_ = starter.Wait() // it was killed, or came to its end before
}

func killedBehind(t *testing.T, s *scene) {
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	was := s.start(t, s.m)
	s.kill(t, was)
	if report := s.stop(t, s.m, time.Second); report.By != drivers.StopNone {
		t.Errorf("stopped by %q, though its process was gone", report.By)
	}
	now := s.start(t, s.m)
	if now.PID == was.PID && now.Started.Equal(was.Started) {
		t.Errorf("the killed process runs: %+v", now)
	}
	s.kill(t, now)
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Errorf("delete after its process was killed: %v", err)
	}
}

// ended: who starts machines again asks how they ended.
func ended(t *testing.T, s *scene) {
	ender, able := s.d.(drivers.Ender)
	if !able {
		return // it need not be
	}
	is := func(when string, want drivers.Ending) {
		t.Helper()
		if got, err := ender.Ended(s.ctx, s.m); err != nil || got != want {
			t.Errorf("%s: ended %q, %v, want %q", when, got, err, want)
		}
	}
	is("before it is created", drivers.NotEnded)
	was := s.start(t, s.m)
	is("while it runs", drivers.NotEnded)
	s.kill(t, was)
	is("after its process was killed", drivers.EndedBad)
	s.start(t, s.m)
	is("while it runs again", drivers.NotEnded)
	s.stop(t, s.m, 0)
	is("after stop", drivers.EndedOff)
}

func (s *scene) kill(t *testing.T, was drivers.Status) {
	t.Helper()
	s.h.Kill(t, s.m, was)
	s.until(t, "the driver sees that the process is gone", func() bool {
		return s.status(t, s.m).State == drivers.Stopped
	}, func() string { return fmt.Sprintf("%+v", s.status(t, s.m)) })
	s.is(t, s.m, drivers.Stopped)
}

// strangers: a record may come to speak of somebody else's process, by a
// restored backup or a pid given again.
func strangers(t *testing.T, s *scene) {
	stranger := exec.Command("sleep", "600")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stranger.Wait() }()
	defer func() {
		_ = stranger.Process.Kill()
		if err := <-ended; err == nil || err.Error() != "signal: killed" {
			t.Errorf("the stranger ended with %v before its time", err)
		}
	}()

	s.kill(t, s.start(t, s.m))
	s.h.Mislead(t, s.m, stranger.Process.Pid)
	status := s.status(t, s.m)
	if status.State != drivers.Unknown && status.State != drivers.Stopped {
		t.Errorf("status %+v, though only a stranger runs", status)
	}
	if status.State == drivers.Unknown && status.Detail == "" {
		t.Error("unknown, and it does not say why")
	}
	for _, grace := range []time.Duration{0, 50 * time.Millisecond} {
		if report, err := s.d.Stop(s.ctx, s.m, grace); err == nil && report.By != drivers.StopNone {
			t.Errorf("it claims to have stopped the stranger by %q", report.By)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("the stranger was ended: %v", err)
		ended <- err
	default:
	}
	s.h.Mislead(t, s.m, 0)
}

// deletedDirectory: who loses the machine's directory loses its disks, but
// must not lose sight of what still runs.
func deletedDirectory(t *testing.T, s *scene) {
	was := s.start(t, s.m)
	if err := os.RemoveAll(s.m.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.m.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if now := s.running(t, s.m); now.PID != was.PID {
		t.Errorf("process %d runs, want %d", now.PID, was.PID)
	}
	if report := s.stop(t, s.m, 0); report.By == drivers.StopNone {
		t.Error("it was stopped by nothing")
	}
	if diff := cmp.Diff(drivers.Status{State: drivers.Absent}, s.status(t, s.m)); diff != "" {
		t.Errorf("after stop (-want +got):\n%s", diff)
	}
}
