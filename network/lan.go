package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/lkup/lkup/drivers"
)

// lan is one network: who is in it, and its gateway.
type lan struct {
	owner   *Switch
	address string // network.lan
	name    string // lan
	subnet  netip.Prefix
	subnet6 netip.Prefix
	gateway netip.Addr
	gate    *gate
	table   atomic.Pointer[table]
}

// table says who is where. It is never changed, but replaced.
type table struct {
	ports []*port
	byMAC map[hardware]*port
	byIP  map[netip.Addr]*port
}

func newLAN(s *Switch, nic *drivers.NIC) (*lan, error) {
	l := &lan{owner: s, address: nic.Network, name: nic.Name, subnet: nic.Subnet, subnet6: nic.Subnet6, gateway: nic.Gateway}
	l.table.Store(&table{})
	var err error
	l.gate, err = openGate(l)
	return l, err
}

func (l *lan) close() { l.gate.close() }

func (l *lan) add(p *port) error {
	old := l.table.Load()
	for _, other := range old.ports {
		if other.mac == p.mac || other.address == p.address || other.address6 == p.address6 {
			return fmt.Errorf("%s has the address %s there already", other.vm, other.address)
		}
	}
	if err := l.gate.meet(p); err != nil {
		return err
	}
	l.replace(append(slices.Clone(old.ports), p))
	return nil
}

func (l *lan) remove(p *port) {
	old := l.table.Load()
	l.replace(slices.DeleteFunc(slices.Clone(old.ports), func(other *port) bool { return other == p }))
	l.gate.part(p)
}

func (l *lan) replace(ports []*port) {
	t := &table{ports: ports, byMAC: map[hardware]*port{}, byIP: map[netip.Addr]*port{}}
	for _, p := range ports {
		t.byMAC[p.mac] = p
		t.byIP[p.address] = p
	}
	l.table.Store(t)
}

// carry brings a guest's frame where it belongs, and owns it from now on.
func (l *lan) carry(from *port, f *frame) {
	to := destination(f.bytes())
	switch {
	case to == gatewayMAC:
		l.gate.take(from, f.bytes())
	case to.group():
		for _, p := range l.table.Load().ports {
			if p != from {
				p.send(l.owner.copied(f.bytes()))
			}
		}
		l.gate.take(from, f.bytes())
	default:
		if p := l.table.Load().byMAC[to]; p != nil {
			p.send(f)
			return
		}
	}
	f.free()
}

// deliver brings a frame of the gateway's to whom it is for.
func (l *lan) deliver(content []byte) {
	if len(content) < ethernetHeader || len(content) > maxFrame {
		return
	}
	to := destination(content)
	for _, p := range l.table.Load().ports {
		if p.mac == to || to.group() {
			p.send(l.owner.copied(content))
		}
	}
}

func (s *Switch) copied(content []byte) *frame {
	f := s.newFrame()
	f.n = copy(f.data[:], content)
	return f
}

// machinesNamed are the machines that a name means in this network.
func (t *table) machinesNamed(name string) []*port {
	var all []*port
	for _, p := range t.ports {
		if p.name == name || slices.Contains(p.nic.Load().Aliases, name) {
			all = append(all, p)
		}
	}
	return all
}

// publish shows all networks, by address, to those who carry frames and must
// not wait for s.mu.
func (s *Switch) publish() {
	var all []*lan
	for _, address := range slices.Sorted(maps.Keys(s.lans)) {
		all = append(all, s.lans[address])
	}
	s.shown.Store(&all)
}
