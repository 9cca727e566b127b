package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/process"
)

// forward makes exactly these host ports lead to the machine. It takes away the
// others first; where one cannot be had, the rest are as asked.
func (s *Switch) forward(m *machine, ports []drivers.Port) error {
	for p, f := range m.forwards {
		if !slices.Contains(ports, p) {
			f.close()
			delete(m.forwards, p)
		}
	}
	var failures []error
	for _, p := range ports {
		if m.forwards[p] != nil {
			continue
		}
		f, err := s.open(m, p)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		m.forwards[p] = f
	}
	return errors.Join(failures...)
}

func (s *Switch) open(m *machine, p drivers.Port) (*forward, error) {
	f, err := openForward(m.ports[0], p)
	if errors.Is(err, syscall.EADDRINUSE) && s.reclaim(m, p) {
		f, err = openForward(m.ports[0], p)
	}
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EADDRINUSE):
		holder, _ := process.Holder(p.Address, p.Host, p.Protocol)
		return nil, fmt.Errorf("host port %s is held by %s; end it, or change \"host\" of the port for guest port %d", where, s.holder(holder, p), p.Guest)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("host port %s is reserved for root; choose a \"host\" of 1024 or more for guest port %d", where, p.Guest)
	}
	return nil, fmt.Errorf("host port %s cannot be used: %w", where, err)
}

// reclaim takes a port from a machine that ended without a word.
func (s *Switch) reclaim(m *machine, p drivers.Port) bool {
	for _, other := range s.machines {
		for held, f := range other.forwards {
			if other != m && held.Host == p.Host && held.Protocol == p.Protocol && !other.alive() {
				f.close()
				delete(other.forwards, held)
				return true
			}
		}
	}
	return false
}

// holder names the machine that has a port, if it is one of the switch's own.
func (s *Switch) holder(found process.Process, p drivers.Port) string {
	for _, other := range s.machines {
		for held := range other.forwards {
			if held.Host == p.Host && held.Protocol == p.Protocol {
				return other.Address
			}
		}
	}
	return found.String()
}

// forward is a host port that leads to a guest.
type forward struct {
	to      *port
	number  int // the guest's
	end     context.CancelFunc
	closers []func() error
	done    sync.WaitGroup
}

func openForward(to *port, p drivers.Port) (*forward, error) {
	ctx, end := context.WithCancel(context.Background())
	f := &forward{to: to, number: p.Guest, end: end}
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	var err error
	if p.Protocol == "udp" {
		err = f.openUDP(ctx, where)
	} else {
		err = f.openTCP(ctx, where)
	}
	if err != nil {
		end()
		return nil, err
	}
	return f, nil
}

// close ends the forward. Connections that were made through it last: they are
// the guest's and its client's.
func (f *forward) close() {
	f.end()
	for _, c := range f.closers {
		_ = c() // nothing is left to be said
	}
	f.done.Wait()
}

func (f *forward) openTCP(ctx context.Context, where string) error {
	listener, err := net.Listen("tcp", where)
	if err != nil {
		return err
	}
	f.closers = append(f.closers, listener.Close)
	f.done.Add(1)
	go func() {
		defer f.done.Done()
		for {
			conn, err := listener.Accept()
			if err != nil && ctx.Err() != nil {
				return
			}
			if err == nil {
				go f.serve(conn.(*net.TCPConn))
			}
		}
	}()
	return nil
}

// serve joins a client with the guest. It ends with the guest's network at the
// latest. A guest that does not answer is a connection that is reset.
func (f *forward) serve(client *net.TCPConn) {
	gate := f.to.lan.gate
	ctx, cancel := context.WithTimeout(gate.ctx, dialLimit)
	guest, err := gate.dialGuest(ctx, f.to, f.number)
	cancel()
	if err != nil {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	splice(gate.ctx, guest, client)
}

func (f *forward) openUDP(ctx context.Context, where string) error {
	listener, err := net.ListenPacket("udp", where)
	if err != nil {
		return err
	}
	s := &sessions{forward: f, listener: listener.(*net.UDPConn), guests: map[netip.AddrPort]net.Conn{}}
	f.closers = append(f.closers, listener.Close, s.close)
	f.done.Add(1)
	go func() {
		defer f.done.Done()
		s.serve(ctx)
	}()
	return nil
}

// sessions are the clients of a UDP port.
type sessions struct {
	forward  *forward
	listener *net.UDPConn
	mu       sync.Mutex
	guests   map[netip.AddrPort]net.Conn // by client
}

const mostSessions = 512

func (s *sessions) serve(ctx context.Context) {
	content := make([]byte, 64<<10)
	for {
		n, client, err := s.listener.ReadFromUDPAddrPort(content)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		if guest := s.guest(client); guest != nil {
			_, _ = guest.Write(content[:n]) // packets may be lost
		}
	}
}

// guest is the client's way to the guest, made with its first packet.
func (s *sessions) guest(client netip.AddrPort) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.guests[client]; known != nil || len(s.guests) >= mostSessions {
		return known
	}
	conn, err := s.forward.to.lan.gate.dialGuestUDP(s.forward.to, s.forward.number)
	if err != nil {
		return nil
	}
	s.guests[client] = conn
	go s.answer(client, conn)
	return conn
}

// answer brings back what the guest says, until it has been silent for a while.
func (s *sessions) answer(client netip.AddrPort, guest net.Conn) {
	content := make([]byte, 64<<10)
	for {
		_ = guest.SetReadDeadline(time.Now().Add(idleUDP)) // one that is closed cannot be read
		n, err := guest.Read(content)
		if err != nil {
			break
		}
		_, _ = s.listener.WriteToUDPAddrPort(content[:n], client) // packets may be lost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.guests, client)
	_ = guest.Close()
}

func (s *sessions) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, guest := range s.guests {
		_ = guest.Close() // its reader ends
	}
	return nil
}
