package drivertest

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
)

// port is a port of this host that was free just now and was not given before.
// It lies below those that systems give to whoever asks for any.
func (s *scene) port(t *testing.T, protocol string, guest int) drivers.Port {
	t.Helper()
	for range 1000 {
		p := drivers.Port{Address: "127.0.0.1", Host: 20000 + rand.IntN(12000), Guest: guest, Protocol: protocol}
		if s.given[p.Host] {
			continue
		}
		if release, err := hold(&p); err == nil {
			release()
			s.given[p.Host] = true
			return p
		}
	}
	t.Fatal("no port is free")
	return drivers.Port{}
}

// hold listens on the port; on any, which it writes into p, if Host is 0.
func hold(p *drivers.Port) (release func(), err error) {
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	if p.Protocol == "udp" {
		c, err := net.ListenPacket("udp", where)
		if err != nil {
			return nil, err
		}
		p.Host = c.LocalAddr().(*net.UDPAddr).Port
		return func() { _ = c.Close() }, nil
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, err
	}
	p.Host = l.Addr().(*net.TCPAddr).Port
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
	held := drivers.Port{Address: "127.0.0.1", Guest: 80, Protocol: protocol}
	release, err := hold(&held)
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
	if release, err := hold(&free); err != nil {
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
	for _, want := range []string{strconv.Itoa(s.m.Ports[0].Host), strconv.Itoa(was.PID)} {
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
			release, err := hold(&p)
			if err != nil {
				t.Fatalf("after stop: %v", err)
			}
			release()
		}
	}
}
