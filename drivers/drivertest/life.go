package drivertest

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

func absentBeforeCreate(t *testing.T, s *scene) {
	s.is(t, s.m, drivers.Absent)
	if report := s.stop(t, s.m, time.Second); report.By != drivers.StopNone {
		t.Errorf("stopped by %q, though it never was", report.By)
	}
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Errorf("delete what never was: %v", err)
	}
	if err := s.d.Start(s.ctx, s.m); err == nil {
		t.Error("it starts without having been created")
	}
	s.is(t, s.m, drivers.Absent)
}

func createRepeats(t *testing.T, s *scene) {
	for range 3 {
		s.create(t, s.m)
		s.is(t, s.m, drivers.Stopped)
	}
	was := s.start(t, s.m)
	s.create(t, s.m)
	if diff := cmp.Diff(was, s.running(t, s.m)); diff != "" {
		t.Errorf("create changed a running machine (-before +after):\n%s", diff)
	}
}

func startRepeats(t *testing.T, s *scene) {
	before := time.Now().Add(-3 * time.Second)
	was := s.start(t, s.m)
	if was.Started.Before(before) || was.Started.After(time.Now().Add(3*time.Second)) {
		t.Errorf("started %s, want about now", was.Started)
	}
	for range 2 {
		s.d = s.h.Driver(t)
		if err := s.d.Start(s.ctx, s.m); err != nil {
			t.Fatalf("start what runs: %v", err)
		}
		if diff := cmp.Diff(was, s.running(t, s.m)); diff != "" {
			t.Errorf("another start made another process (-before +after):\n%s", diff)
		}
	}
}

func stopRepeats(t *testing.T, s *scene) {
	s.create(t, s.m)
	if report := s.stop(t, s.m, 0); report.By != drivers.StopNone {
		t.Errorf("stopped by %q, though it did not run", report.By)
	}
	s.start(t, s.m)
	if report := s.stop(t, s.m, 0); report.By == drivers.StopNone || report.Took <= 0 {
		t.Errorf("report %+v, want a step and a time", report)
	}
	s.is(t, s.m, drivers.Stopped)
	if report := s.stop(t, s.m, 0); report.By != drivers.StopNone {
		t.Errorf("stopped by %q, though it was stopped", report.By)
	}
}

func deleteRepeats(t *testing.T, s *scene) {
	s.create(t, s.m)
	for range 2 {
		if err := s.d.Delete(s.ctx, s.m); err != nil {
			t.Fatalf("delete: %v", err)
		}
		s.is(t, s.m, drivers.Absent)
	}
}

func deleteRefuses(t *testing.T, s *scene) {
	was := s.start(t, s.m)
	if err := s.d.Delete(s.ctx, s.m); err == nil {
		t.Error("it deletes a running machine")
	}
	if diff := cmp.Diff(was, s.running(t, s.m)); diff != "" {
		t.Errorf("delete changed a running machine (-before +after):\n%s", diff)
	}
}

func againAfterDelete(t *testing.T, s *scene) {
	first := s.start(t, s.m)
	s.stop(t, s.m, 0)
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if second := s.start(t, s.m); second.PID == first.PID && second.Started.Equal(first.Started) {
		t.Errorf("the second life is the first: %+v", second)
	}
}

func startObeys(t *testing.T, s *scene) {
	first := s.start(t, s.m)
	if first.Memory != s.m.Memory {
		t.Errorf("memory %d, want %d", first.Memory, s.m.Memory)
	}
	s.stop(t, s.m, 0)
	s.m.Memory += 32
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	second := s.start(t, s.m)
	want := drivers.Status{State: drivers.Running, PID: second.PID, Started: second.Started, Ports: s.m.Ports, Memory: s.m.Memory, MemoryMax: s.m.Memory}
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("after a start with other settings (-want +got):\n%s", diff)
	}
}

func severalAtOnce(t *testing.T, s *scene) {
	machines := []drivers.Machine{s.m}
	for range s.h.Machines - 1 {
		machines = append(machines, s.machine(t, t.TempDir()))
	}
	for n := range machines {
		machines[n].Ports = []drivers.Port{s.port(t, "tcp", 80)}
	}
	each(t, machines, func(m drivers.Machine) error { return errors.Join(s.d.Create(s.ctx, m), s.d.Start(s.ctx, m)) })
	pids := map[int]bool{}
	for _, m := range machines {
		status := s.running(t, m)
		pids[status.PID] = true
		if diff := cmp.Diff(m.Ports, status.Ports); diff != "" {
			t.Errorf("ports (-want +got):\n%s", diff)
		}
	}
	if len(pids) != len(machines) {
		t.Errorf("%d processes for %d machines", len(pids), len(machines))
	}
	each(t, machines, func(m drivers.Machine) error { _, err := s.d.Stop(s.ctx, m, 0); return err })
	for _, m := range machines {
		s.is(t, m, drivers.Stopped)
	}
}

func each(t *testing.T, machines []drivers.Machine, do func(drivers.Machine) error) {
	t.Helper()
	failures := make([]error, len(machines))
	var group sync.WaitGroup
	for n, m := range machines {
		group.Go(func() { failures[n] = do(m) })
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

// cancelled: what was cancelled beforehand does nothing, and says so.
func cancelled(t *testing.T, s *scene) {
	over, cancel := context.WithCancel(s.ctx)
	cancel()
	s.create(t, s.m)
	if err := s.d.Start(over, s.m); !errors.Is(err, context.Canceled) {
		t.Errorf("start: %v, want context.Canceled", err)
	}
	s.is(t, s.m, drivers.Stopped)
	was := s.start(t, s.m)
	if _, err := s.d.Stop(over, s.m, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v, want context.Canceled", err)
	}
	if diff := cmp.Diff(was, s.running(t, s.m)); diff != "" {
		t.Errorf("a cancelled stop changed the machine (-before +after):\n%s", diff)
	}
}

func oddPaths(t *testing.T, s *scene) {
	dir := filepath.Join(t.TempDir(), `a,b ,, c=d'e"f$(g)`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m := s.machine(t, dir)
	rename := func(path, name string) string {
		if path == "" {
			return ""
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	m.Boot.Kernel = rename(m.Boot.Kernel, "kernel, unpacked")
	m.Boot.Initrds = slices.Clone(m.Boot.Initrds)
	for n := range m.Boot.Initrds {
		m.Boot.Initrds[n] = rename(m.Boot.Initrds[n], strings.Repeat(",", n+1))
	}
	m.Boot.Disks = slices.Clone(m.Boot.Disks)
	for n := range m.Boot.Disks {
		m.Boot.Disks[n].Path = rename(m.Boot.Disks[n].Path, strings.Repeat(", ", n+1))
	}
	if !s.h.NoShares {
		m.Shares = []drivers.Share{{Tag: "odd", Host: dir, Guest: "/odd"}}
	}
	s.start(t, m)
	s.up(t, m, 1)
}

// toldApart: what is done to one machine is not done to its neighbour.
func toldApart(t *testing.T, s *scene) {
	dir := t.TempDir() // the same for both
	first, second := s.machine(t, dir), s.machine(t, dir)
	was := s.start(t, first)
	s.create(t, second)
	s.is(t, second, drivers.Stopped)
	s.start(t, second)
	s.stop(t, second, 0)
	if err := s.d.Delete(s.ctx, second); err != nil {
		t.Fatal(err)
	}
	s.is(t, second, drivers.Absent)
	if diff := cmp.Diff(was, s.running(t, first)); diff != "" {
		t.Errorf("the neighbour changed (-before +after):\n%s", diff)
	}
}

// otherValues: each run of lkup has a new value of the driver, and they know
// the same.
func otherValues(t *testing.T, s *scene) {
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	was := s.start(t, s.m)
	s.d = s.h.Driver(t)
	if diff := cmp.Diff(was, s.running(t, s.m)); diff != "" {
		t.Errorf("another value sees (-started +seen):\n%s", diff)
	}
	s.d = s.h.Driver(t)
	if report := s.stop(t, s.m, 0); report.By == drivers.StopNone {
		t.Error("it was stopped by nothing")
	}
	s.d = s.h.Driver(t)
	s.is(t, s.m, drivers.Stopped)
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	s.d = s.h.Driver(t)
	s.is(t, s.m, drivers.Absent)
}

// restarts: each start makes a process of its own, however often.
func restarts(t *testing.T, s *scene) {
	type life struct {
		pid     int
		started time.Time
	}
	seen := map[life]bool{}
	for n := range 4 {
		now := s.start(t, s.m)
		if seen[life{now.PID, now.Started}] {
			t.Errorf("start %d gave a process of before: %+v", n, now)
		}
		seen[life{now.PID, now.Started}] = true
		s.stop(t, s.m, 0)
		s.is(t, s.m, drivers.Stopped)
	}
}

func twoProcessors(t *testing.T, s *scene) {
	s.m.CPUs = 2
	s.start(t, s.m)
	s.up(t, s.m, 1)
}

// looks: what a driver says of itself and of this host can be read by people.
func looks(t *testing.T, s *scene) {
	if doctor, able := s.d.(drivers.Doctor); able {
		for _, f := range doctor.Diagnose(s.ctx) {
			if f.Name == "" || f.Detail == "" || f.Level == drivers.Fail && f.Hint == "" {
				t.Errorf("a finding does not say what it is about, or what to type: %+v", f)
			}
		}
	}
	if checker, able := s.d.(drivers.Checker); able {
		plain := spec.VM{Address: "vm.a", CPUs: 1, Memory: 256}
		if problems := checker.Check(plain); len(problems) > 0 {
			t.Errorf("a plain vm is refused: %+v", problems)
		}
		plain.CPUs = 1 << 20
		found := false
		for _, p := range checker.Check(plain) {
			found = found || p.Attribute == "cpus" && p.Summary != "" && p.Hint != ""
		}
		if !found {
			t.Error("a million processors are not refused by name")
		}
	}
}

func memory(t *testing.T, s *scene) {
	g := s.guest(t, &s.m)
	before := s.m.Memory
	s.m.Memory *= 2
	s.start(t, s.m)
	// The kernel keeps some for itself.
	if got := g.number("/memory"); got > s.m.Memory || got <= before {
		t.Errorf("the guest sees %d MiB, want a little less than %d", got, s.m.Memory)
	}
}

func commandLine(t *testing.T, s *scene) {
	liner, able := s.d.(drivers.CommandLiner)
	if !able {
		return // it need not be
	}
	s.m.Memory = 173
	if line := liner.CommandLine(s.m); !strings.Contains(line, "173") || !strings.Contains(line, s.m.Nonce) {
		t.Errorf("it does not show the machine: %s", line)
	}
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
