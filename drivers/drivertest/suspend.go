package drivertest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lkup/lkup/drivers"
)

// pauses: a paused machine is the same one, does nothing, and goes on.
func pauses(t *testing.T, s *scene) {
	pauser := s.d.(drivers.Pauser)
	if err := pauser.Pause(s.ctx, s.m); err == nil {
		t.Error("a machine that never was is paused")
	}
	g := s.mayAsk(t)
	was := s.start(t, s.m)
	g.remember("paused")
	for range 2 {
		if err := pauser.Pause(s.ctx, s.m); err != nil {
			t.Fatalf("pause: %v", err)
		}
		s.paused(t, was)
	}
	g.silent()
	s.d = s.h.Driver(t)
	for range 2 {
		if err := s.d.(drivers.Pauser).Resume(s.ctx, s.m); err != nil {
			t.Fatalf("resume: %v", err)
		}
		if now := s.running(t, s.m); now.PID != was.PID {
			t.Errorf("another process runs: %+v, was %+v", now, was)
		}
	}
	g.remembers("paused")

	if err := pauser.Pause(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	if err := s.d.Start(s.ctx, s.m); err != nil { // a start lets it go on
		t.Fatal(err)
	}
	s.running(t, s.m)
	if err := pauser.Pause(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	s.stop(t, s.m, 0)
	s.is(t, s.m, drivers.Stopped)
	if err := pauser.Resume(s.ctx, s.m); err == nil {
		t.Error("a machine that does not run is resumed")
	}
}

// suspends: memory comes back, also for another value of the driver, as often
// as wanted; and who was saved goes on.
func suspends(t *testing.T, s *scene) {
	suspender, pauser := s.d.(drivers.Suspender), s.d.(drivers.Pauser)
	s.m.Volumes = []drivers.Volume{{Name: "data", Path: filepath.Join(t.TempDir(), "data"), Format: "raw", Size: 8}}
	memory := filepath.Join(t.TempDir(), "memory, saved")
	g := s.mayAsk(t)
	was := s.start(t, s.m)
	g.remember("before")
	if problem, err := suspender.Savable(s.ctx, s.m); problem != "" || err != nil {
		t.Fatalf("it cannot be saved: %s, %v", problem, err)
	}
	if err := suspender.Save(s.ctx, s.m, memory); err == nil {
		t.Fatal("a machine was saved that runs on")
	}
	if err := pauser.Pause(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	if err := suspender.Save(s.ctx, s.m, memory); err != nil {
		t.Fatalf("save: %v", err)
	}
	info, err := os.Stat(memory)
	if err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("the saved memory: %v, %v; want a private file", info, err)
	}
	s.paused(t, was)
	if err := suspender.Restore(s.ctx, s.m, memory); err == nil {
		t.Error("a machine that is there was started anew")
	}
	if err := pauser.Resume(s.ctx, s.m); err != nil {
		t.Fatalf("resume: %v", err)
	}
	s.running(t, s.m)
	g.remember("after")
	for range 2 {
		s.stop(t, s.m, 0)
		s.d = s.h.Driver(t)
		if err := s.d.(drivers.Suspender).Restore(s.ctx, s.m, memory); err != nil {
			t.Fatalf("restore: %v", err)
		}
		now := s.status(t, s.m)
		if now.State != drivers.Paused || now.PID == 0 || now.PID == was.PID {
			t.Errorf("after restore: %+v, want another process, paused", now)
		}
		if err := s.d.(drivers.Pauser).Resume(s.ctx, s.m); err != nil {
			t.Fatal(err)
		}
		s.running(t, s.m)
		g.remembers("before")
		g.forgot("after")
	}
}

// noMemory: what is no machine's memory leaves the machine as it was.
func noMemory(t *testing.T, s *scene) {
	suspender := s.d.(drivers.Suspender)
	memory := filepath.Join(t.TempDir(), "memory")
	s.start(t, s.m)
	if err := s.d.(drivers.Pauser).Pause(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	if err := suspender.Save(s.ctx, s.m, memory); err != nil {
		t.Fatal(err)
	}
	s.stop(t, s.m, 0)
	whole, err := os.ReadFile(memory)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty": nil, "cut": whole[:len(whole)/2], "noise": []byte("this is no memory")} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := suspender.Restore(s.ctx, s.m, path); err == nil {
			t.Errorf("%s: it was restored", name)
		}
		s.is(t, s.m, drivers.Stopped)
	}
	if err := suspender.Restore(s.ctx, s.m, memory+"-gone"); err == nil {
		t.Error("it was restored from nothing")
	}
	s.is(t, s.m, drivers.Stopped)
}

func (s *scene) paused(t *testing.T, was drivers.Status) {
	t.Helper()
	now := s.status(t, s.m)
	if now.State != drivers.Paused || now.PID != was.PID || !now.Started.Equal(was.Started) {
		t.Errorf("status %+v, want the same process, paused", now)
	}
}

// mayAsk is a guest to be asked, for drivers that have real ones.
func (s *scene) mayAsk(t *testing.T) memories {
	if s.h.Guest == nil {
		return memories{}
	}
	return memories{s.guest(t, &s.m)}
}

// memories are files in a guest's memory. Without a guest it remembers nothing,
// and everything.
type memories struct{ *guest }

func (g memories) remember(name string) {
	if g.guest != nil {
		g.t.Helper()
		g.must("PUT", "/file/"+name, name)
	}
}

func (g memories) remembers(name string) {
	if g.guest == nil {
		return
	}
	g.t.Helper()
	if got := g.must("GET", "/file/"+name, ""); got != name {
		g.t.Errorf("the guest remembers %q, want %q", got, name)
	}
}

func (g memories) forgot(name string) {
	if g.guest == nil {
		return
	}
	g.t.Helper()
	if status, got := g.ask("GET", "/file/"+name, ""); status == 200 {
		g.t.Errorf("the guest remembers %q, which came later", got)
	}
}

// silent demands that the guest does not answer.
func (g memories) silent() {
	if g.guest == nil {
		return
	}
	g.t.Helper()
	if answer, err := g.client.Get(g.base + "/memory"); err == nil {
		answer.Body.Close()
		g.t.Error("a paused guest answers")
	}
}

// filesAreMachine: what Files names is all that a machine is made of.
func filesAreMachine(t *testing.T, s *scene) {
	s.start(t, s.m)
	s.stop(t, s.m, 0)
	copies := map[string][]byte{}
	for _, name := range s.d.(drivers.Snapshotter).Files(s.m) {
		if filepath.Base(name) != name {
			t.Fatalf("%q is no name in the machine's directory", name)
		}
		content, err := os.ReadFile(filepath.Join(s.m.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		copies[name] = content
	}
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	s.is(t, s.m, drivers.Absent)
	for name, content := range copies {
		if err := os.WriteFile(filepath.Join(s.m.Dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.is(t, s.m, drivers.Stopped)
	if err := s.d.Start(s.ctx, s.m); err != nil {
		t.Fatalf("start what was put back: %v", err)
	}
	s.running(t, s.m)
}
