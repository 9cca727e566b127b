package drivertest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/porttest"
)

// port is a port of this host that nobody else has while this test runs.
func (s *scene) port(t *testing.T, protocol string, guest int) drivers.Port {
	t.Helper()
	host, err := s.ports.Next()
	if err != nil { // the block is used up
		s.ports = porttest.Of(t)
		host, err = s.ports.Next()
	}
	if err != nil {
		t.Fatal(err)
	}
	return drivers.Port{Address: "127.0.0.1", Host: host, Guest: guest, Protocol: protocol}
}

// hold listens on the port.
func hold(p drivers.Port) (release func(), err error) {
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	if p.Protocol == "udp" {
		c, err := net.ListenPacket("udp", where)
		if err != nil {
			return nil, err
		}
		return func() { _ = c.Close() }, nil
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Close() }, nil
}

func portsTold(t *testing.T, s *scene) {
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80), s.port(t, "udp", 53), s.port(t, "tcp", 443)}
	if diff := cmp.Diff(s.m.Ports, s.start(t, s.m).Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

func portHeld(t *testing.T, s *scene)    { heldPort(t, s, "tcp") }
func portHeldUDP(t *testing.T, s *scene) { heldPort(t, s, "udp") }

func heldPort(t *testing.T, s *scene, protocol string) {
	held := s.port(t, protocol, 80)
	release, err := hold(held)
	if err != nil {
		t.Fatal(err)
	}
	free := s.port(t, "tcp", 81)
	s.m.Ports = []drivers.Port{free, held}
	s.create(t, s.m)
	err = s.d.Start(s.ctx, s.m)
	release()
	if err == nil {
		t.Fatal("it started on a port that was held")
	}
	for _, want := range []string{strconv.Itoa(held.Host), filepath.Base(os.Args[0]), strconv.Itoa(os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	s.is(t, s.m, drivers.Stopped)
	if release, err := hold(free); err != nil {
		t.Errorf("the other port is not free: %v", err)
	} else {
		release()
	}
	s.start(t, s.m)
}

func portHeldByMachine(t *testing.T, s *scene) {
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	was := s.start(t, s.m)
	second := s.machine(t, t.TempDir())
	second.Ports = s.m.Ports
	s.create(t, second)
	err := s.d.Start(s.ctx, second)
	if err == nil {
		t.Fatal("two machines hold one port")
	}
	holder := was.PID
	if s.h.Holder != nil {
		holder = s.h.Holder(t, s.m, was)
	}
	for _, want := range []string{strconv.Itoa(s.m.Ports[0].Host), strconv.Itoa(holder)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	s.is(t, second, drivers.Stopped)
	if diff := cmp.Diff(was, s.running(t, s.m)); diff != "" {
		t.Errorf("it changed the first machine (-before +after):\n%s", diff)
	}
	s.stop(t, s.m, 0)
	s.start(t, second)
}

// portFreed: a port is free as soon as Stop returns, again and again.
func portFreed(t *testing.T, s *scene) {
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80), s.port(t, "udp", 80)}
	for range 3 {
		s.start(t, s.m)
		s.stop(t, s.m, 0)
		for _, p := range s.m.Ports {
			release, err := hold(p)
			if err != nil {
				t.Fatalf("after stop: %v", err)
			}
			release()
		}
	}
}

// portsOnOneNumber: TCP and UDP are apart, and so are addresses.
func portsOnOneNumber(t *testing.T, s *scene) {
	tcp := s.port(t, "tcp", 80)
	udp := tcp
	udp.Protocol = "udp"
	s.m.Ports = []drivers.Port{tcp, udp}
	second := s.machine(t, t.TempDir())
	elsewhere := tcp
	elsewhere.Address = "127.0.0.2"
	second.Ports = []drivers.Port{elsewhere}
	for _, m := range []drivers.Machine{s.m, second} {
		if diff := cmp.Diff(m.Ports, s.start(t, m).Ports); diff != "" {
			t.Errorf("ports (-want +got):\n%s", diff)
		}
	}
}

// portTwice: one machine cannot have a port twice, and says which.
func portTwice(t *testing.T, s *scene) {
	first := s.port(t, "tcp", 80)
	second := first
	second.Guest = 81
	s.m.Ports = []drivers.Port{first, second}
	s.create(t, s.m)
	if err := s.d.Start(s.ctx, s.m); err == nil || !strings.Contains(err.Error(), strconv.Itoa(first.Host)) {
		t.Errorf("start: %v, want an error that names port %d", err, first.Host)
	}
	s.is(t, s.m, drivers.Stopped)
	s.m.Ports = s.m.Ports[1:]
	s.start(t, s.m)
}

// portHeldEverywhere: who listens on all addresses listens on this one.
func portHeldEverywhere(t *testing.T, s *scene) {
	p := s.port(t, "tcp", 80)
	everywhere := p
	everywhere.Address = "0.0.0.0"
	release, err := hold(everywhere)
	if err != nil {
		t.Fatal(err)
	}
	s.m.Ports = []drivers.Port{p}
	s.create(t, s.m)
	err = s.d.Start(s.ctx, s.m)
	release()
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(p.Host)) {
		t.Errorf("start: %v, want an error that names port %d", err, p.Host)
	}
	s.is(t, s.m, drivers.Stopped)
	s.m.Ports = []drivers.Port{everywhere}
	if diff := cmp.Diff(s.m.Ports, s.start(t, s.m).Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

// portsMany: all of them are held, and told in the order in which they were
// asked for.
func portsMany(t *testing.T, s *scene) {
	for n := range 12 {
		s.m.Ports = append(s.m.Ports, s.port(t, []string{"tcp", "udp"}[n%2], 100-n))
	}
	if diff := cmp.Diff(s.m.Ports, s.start(t, s.m).Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

// portsOfTheNextStart: a start with other ports frees those of the one before.
func portsOfTheNextStart(t *testing.T, s *scene) {
	before := []drivers.Port{s.port(t, "tcp", 80), s.port(t, "udp", 53)}
	s.m.Ports = before
	s.start(t, s.m)
	s.stop(t, s.m, 0)
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	if diff := cmp.Diff(s.m.Ports, s.start(t, s.m).Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	second := s.machine(t, t.TempDir())
	second.Ports = before
	s.start(t, second)
}
