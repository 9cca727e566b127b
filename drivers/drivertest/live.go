package drivertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
)

// livePorts: ports come, move and go while the machine runs, again and again.
func livePorts(t *testing.T, s *scene) {
	forwarder := s.d.(drivers.PortForwarder)
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80), s.port(t, "udp", 7)}
	was := s.start(t, s.m)
	moved, added := s.m.Ports[0], s.port(t, "tcp", 81)
	moved.Host = s.port(t, "tcp", 80).Host
	for _, ports := range [][]drivers.Port{{moved, added}, {moved, added}, {added}, nil, {moved}} {
		m := s.m
		m.Ports = ports
		if err := forwarder.Forward(s.ctx, m); err != nil {
			t.Fatalf("forward %v: %v", ports, err)
		}
		if diff := cmp.Diff(ports, s.running(t, m).Ports); diff != "" {
			t.Errorf("ports (-want +got):\n%s", diff)
		}
		for _, p := range s.m.Ports { // the first ones went
			release, err := hold(p)
			if err != nil {
				t.Errorf("a port that was taken away is not free: %v", err)
				continue
			}
			release()
		}
	}
	if now := s.running(t, s.m); now.PID != was.PID || !now.Started.Equal(was.Started) {
		t.Errorf("another process runs: %+v, was %+v", now, was)
	}
	s.m.Ports = []drivers.Port{moved}
	s.stop(t, s.m, 0)
	if err := forwarder.Forward(s.ctx, s.m); err == nil {
		t.Error("a machine that does not run was changed")
	}
}

// livePortHeld: a port that somebody holds is told, with a name, and changes
// nothing else.
func livePortHeld(t *testing.T, s *scene) {
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	s.start(t, s.m)
	held := s.port(t, "tcp", 81)
	release, err := hold(held)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	m := s.m
	m.Ports = append(m.Ports[:1:1], held)
	err = s.d.(drivers.PortForwarder).Forward(s.ctx, m)
	if err == nil {
		t.Fatal("it forwards a port that was held")
	}
	for _, want := range []string{strconv.Itoa(held.Host), filepath.Base(os.Args[0]), strconv.Itoa(os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if diff := cmp.Diff(s.m.Ports, s.running(t, s.m).Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

// liveMemory: the balloon takes memory and gives it back.
func liveMemory(t *testing.T, s *scene) {
	ballooner := s.d.(drivers.Ballooner)
	most := s.m.Memory
	was := s.start(t, s.m)
	if was.Memory != most || was.MemoryMax != most {
		t.Errorf("started with %d of %d MiB, want all of %d", was.Memory, was.MemoryMax, most)
	}
	s.up(t, s.m, 1)
	for _, memory := range []int{most - 32, most - 32, most} {
		s.m.Memory = memory
		if err := ballooner.Balloon(s.ctx, s.m); err != nil {
			t.Fatalf("balloon to %d: %v", memory, err)
		}
		now := s.running(t, s.m)
		if now.Memory != memory || now.MemoryMax != most || now.PID != was.PID {
			t.Errorf("after a balloon to %d: %+v", memory, now)
		}
	}
	s.stop(t, s.m, 0)
	if err := ballooner.Balloon(s.ctx, s.m); err == nil {
		t.Error("a machine that does not run was changed")
	}
}

// volumesKept: a volume is made once, keeps what it holds, and grows.
func volumesKept(t *testing.T, s *scene) {
	dir := t.TempDir()
	second := "qcow2"
	if s.h.RawOnly {
		second = "raw"
	}
	s.m.Volumes = []drivers.Volume{
		{Name: "raw", Path: filepath.Join(dir, "raw, 1"), Format: "raw", Size: 8},
		{Name: "second", Path: filepath.Join(dir, "second"), Format: second, Size: 16},
	}
	want := map[string]int{"raw": 8, "second": 16}
	if diff := cmp.Diff(want, s.start(t, s.m).Volumes); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
	s.stop(t, s.m, 0)
	s.m.Volumes[0].Size, s.m.Volumes[1].Size = 24, 4 // one larger, and one that must not become smaller
	want["raw"] = 24
	if diff := cmp.Diff(want, s.start(t, s.m).Volumes); diff != "" {
		t.Errorf("sizes after growth (-want +got):\n%s", diff)
	}
	s.stop(t, s.m, 0)
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	for _, v := range s.m.Volumes {
		if _, err := os.Stat(v.Path); err != nil {
			t.Errorf("delete took the volume: %v", err)
		}
	}
}

// liveVolumes: a volume grows while the machine runs.
func liveVolumes(t *testing.T, s *scene) {
	grower := s.d.(drivers.VolumeGrower)
	dir := t.TempDir()
	s.m.Volumes = []drivers.Volume{
		{Name: "raw", Path: filepath.Join(dir, "raw"), Format: "raw", Size: 8},
		{Name: "qcow2", Path: filepath.Join(dir, "qcow2"), Format: "qcow2", Size: 8},
	}
	was := s.start(t, s.m)
	s.m.Volumes[0].Size, s.m.Volumes[1].Size = 16, 4
	for range 2 {
		if err := grower.Grow(s.ctx, s.m); err != nil {
			t.Fatal(err)
		}
		now := s.running(t, s.m)
		if diff := cmp.Diff(map[string]int{"raw": 16, "qcow2": 8}, now.Volumes); diff != "" || now.PID != was.PID {
			t.Errorf("sizes (-want +got):\n%s", diff)
		}
	}
	s.stop(t, s.m, 0)
	if err := grower.Grow(s.ctx, s.m); err == nil {
		t.Error("a machine that does not run was changed")
	}
}

// liveGuest: the guest sees live changes, and goes on all the while.
func liveGuest(t *testing.T, s *scene) {
	s.m.Volumes = []drivers.Volume{{Name: "data", Path: filepath.Join(t.TempDir(), "data"), Format: "raw", Size: 8}}
	g := s.guest(t, &s.m)
	s.start(t, s.m)
	before := g.number("/memory")
	g.must("PUT", "/file/tmp-mark", "here") // its root file system is in memory
	sectors := func() int { return g.number("/file/sys/block/vda/size") }
	if got := sectors(); got != 8<<11 {
		t.Errorf("the guest sees a disk of %d sectors, want 8 MiB", got)
	}
	if serial := g.must("GET", "/file/sys/block/vda/serial", ""); serial != "data" {
		t.Errorf("the disk's serial number is %q", serial)
	}

	if forwarder, able := s.d.(drivers.PortForwarder); able {
		first := s.m.Ports[0]
		moved := s.port(t, "tcp", first.Guest)
		s.m.Ports = []drivers.Port{moved}
		if err := forwarder.Forward(s.ctx, s.m); err != nil {
			t.Fatal(err)
		}
		if answer, err := g.client.Get(g.base + "/memory"); err == nil {
			answer.Body.Close()
			t.Error("a port that moved away still answers")
		}
		g.base = fmt.Sprintf("http://127.0.0.1:%d", moved.Host)
		g.must("GET", "/memory", "")
	}
	if grower, able := s.d.(drivers.VolumeGrower); able {
		s.m.Volumes[0].Size = 24
		if err := grower.Grow(s.ctx, s.m); err != nil {
			t.Fatal(err)
		}
		s.until(t, "the guest sees the larger disk", func() bool { return sectors() == 24<<11 }, func() string { return strconv.Itoa(sectors()) })
	}
	if ballooner, able := s.d.(drivers.Ballooner); able {
		s.m.Memory -= 32
		if err := ballooner.Balloon(s.ctx, s.m); err != nil {
			t.Fatal(err)
		}
		if got := g.number("/memory"); before-got != 32 {
			t.Errorf("the guest has %d MiB, had %d, and 32 were taken", got, before)
		}
	}
	if got := g.must("GET", "/file/tmp-mark", ""); got != "here" {
		t.Errorf("the guest forgot what was in its memory: %q", got)
	}
}
