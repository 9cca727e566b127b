// Package network is a stack's switch: a process of lkup's own in which the
// machines of a stack meet. It carries their frames, tells them their
// addresses and each other's names, leads them out as far as they may go, and
// forwards ports of the host to them.
//
// It promises that a guest speaks for no address but its own, that what a guest
// may not reach is refused at once and noted, and that the host itself is out
// of a guest's reach unless its network says otherwise. It needs no root and
// makes no interface on the host. It keeps nothing on disk: whoever starts it
// tells it all.
package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lkup/lkup/drivers"
)

// Machine is what the switch knows of a machine.
type Machine struct {
	ID      string         `json:"id"`
	Address string         `json:"address"` // vm.db
	Name    string         `json:"name"`    // db
	NICs    []drivers.NIC  `json:"nics"`
	Ports   []drivers.Port `json:"ports,omitempty"`
}

// Settings are what a switch depends on. Now and Stack must be set.
type Settings struct {
	Stack string // the stack's name, for names of machines
	Now   func() time.Time
	// Resolvers are the host's, as HOST:PORT; nil reads /etc/resolv.conf.
	Resolvers func() []string
	// Dial is the way out; nil is the host's sockets.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// HostAddresses are the host's own; nil asks its interfaces.
	HostAddresses func() []netip.Addr
}

// Switch is safe for concurrent use.
type Switch struct {
	settings Settings
	denied   denials
	learned  learned
	frames   sync.Pool
	shown    atomic.Pointer[[]*lan] // lans, by address; see publish

	mu       sync.Mutex
	machines map[string]*machine // by ID
	lans     map[string]*lan     // by address
	closed   bool
}

// machine is a plugged machine.
type machine struct {
	Machine
	ports    []*port // as NICs
	forwards map[drivers.Port]*forward
	seen     bool // its driver's sockets were there once
}

// New makes a switch without machines.
func New(s Settings) *Switch {
	if s.Resolvers == nil {
		s.Resolvers = hostResolvers
	}
	if s.Dial == nil {
		s.Dial = new(net.Dialer).DialContext
	}
	if s.HostAddresses == nil {
		s.HostAddresses = hostAddresses
	}
	made := &Switch{settings: s, machines: map[string]*machine{}, lans: map[string]*lan{}}
	made.publish()
	return made
}

// Plug makes the switch carry the machine's NICs and forward exactly its ports.
// Where addresses and sockets are as before, connections stay.
func (s *Switch) Plug(m Machine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("the switch is ending")
	}
	now := s.machines[m.ID]
	if now != nil && !slices.EqualFunc(now.NICs, m.NICs, sameWire) {
		s.remove(now)
		now = nil
	}
	if now == nil {
		var err error
		if now, err = s.add(m); err != nil {
			return err
		}
	}
	now.Machine = m
	for n, p := range now.ports {
		p.nic.Store(&m.NICs[n])
	}
	return s.forward(now, m.Ports)
}

// sameWire reports whether nothing differs but what can change by itself.
func sameWire(a, b drivers.NIC) bool {
	return a.Network == b.Network && a.MAC == b.MAC && a.Socket == b.Socket && a.Switch == b.Switch &&
		a.Subnet == b.Subnet && a.Gateway == b.Gateway && a.Address == b.Address &&
		a.Subnet6 == b.Subnet6 && a.Address6 == b.Address6 && a.Default == b.Default
}

// add plugs a machine that is not plugged, all of its NICs or none.
func (s *Switch) add(m Machine) (*machine, error) {
	added := &machine{Machine: m, forwards: map[drivers.Port]*forward{}}
	for n := range m.NICs {
		p, err := s.plug(added, &m.NICs[n])
		if err != nil {
			s.remove(added)
			return nil, fmt.Errorf("plug %s into %s: %w", m.Address, m.NICs[n].Network, err)
		}
		added.ports = append(added.ports, p)
	}
	s.machines[m.ID] = added
	return added, nil
}

func (s *Switch) plug(m *machine, nic *drivers.NIC) (*port, error) {
	l, err := s.lan(nic)
	if err != nil {
		return nil, err
	}
	p, err := newPort(m.Machine, nic, l)
	if err == nil {
		if err = l.add(p); err != nil {
			_ = p.in.Close() // it was never used
		}
	}
	if err != nil {
		s.drop(l)
		return nil, err
	}
	p.run()
	return p, nil
}

// lan is the NIC's network, made if it is the first there.
func (s *Switch) lan(nic *drivers.NIC) (*lan, error) {
	if l := s.lans[nic.Network]; l != nil {
		if l.subnet != nic.Subnet || l.gateway != nic.Gateway {
			return nil, fmt.Errorf("it is %s there and not %s; stop all of its machines first", l.subnet, nic.Subnet)
		}
		return l, nil
	}
	l, err := newLAN(s, nic)
	if err != nil {
		return nil, err
	}
	s.lans[nic.Network] = l
	s.publish()
	return l, nil
}

// drop ends a network in which nobody is left.
func (s *Switch) drop(l *lan) {
	if len(l.table.Load().ports) == 0 {
		l.close()
		delete(s.lans, l.address)
		s.publish()
	}
}

// Unplug takes a machine off. One that is not plugged is fine.
func (s *Switch) Unplug(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.machines[id]; m != nil {
		s.remove(m)
	}
}

func (s *Switch) remove(m *machine) {
	for p, f := range m.forwards {
		f.close()
		delete(m.forwards, p)
	}
	for _, p := range m.ports {
		p.lan.remove(p)
		p.close()
		s.drop(p.lan)
	}
	delete(s.machines, m.ID)
}

// Tidy takes off the machines whose drivers ended without a word, and gives the
// IDs of those that are plugged.
func (s *Switch) Tidy() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []string
	for id, m := range s.machines {
		alive := m.alive()
		if m.seen && !alive {
			s.remove(m)
			continue
		}
		m.seen = m.seen || alive
		left = append(left, id)
	}
	slices.Sort(left)
	return left
}

// alive reports whether the machine's driver has its sockets open.
func (m *machine) alive() bool {
	return !slices.ContainsFunc(m.NICs, func(n drivers.NIC) bool { return !Bound(n.Socket) })
}

// Bound reports whether a process has bound a socket that carries datagrams.
func Bound(path string) bool {
	conn, err := net.DialUnix(wire, nil, &net.UnixAddr{Name: path, Net: wire})
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}

// Ports are the host ports that are forwarded to a machine, sorted as it asked.
func (s *Switch) Ports(id string) []drivers.Port {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[id]
	if m == nil {
		return nil
	}
	var all []drivers.Port
	for _, p := range m.Ports {
		if m.forwards[p] != nil {
			all = append(all, p)
		}
	}
	return all
}

// Close takes off all machines.
func (s *Switch) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, m := range s.machines {
		s.remove(m)
	}
}

// hostAddresses are those of the host's interfaces.
func hostAddresses() []netip.Addr {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, a := range found {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, prefix.Addr().Unmap())
		}
	}
	return all
}
