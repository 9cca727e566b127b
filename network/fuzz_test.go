package network

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/lkup/lkup/drivers"
)

// bare is a network with two ports whose wires are nobody's.
func bare(t testing.TB) (from, to *port) {
	s := New(Settings{Stack: "shop", Now: time.Now, Resolvers: func() []string { return nil }})
	nic := func(n byte) *drivers.NIC {
		return &drivers.NIC{
			Network: "network.lan", Name: "lan", Subnet: netip.MustParsePrefix("10.89.7.0/24"), Gateway: netip.MustParseAddr("10.89.7.1"),
			Subnet6: netip.MustParsePrefix("fd12:3456:789a::/64"), Address: netip.AddrFrom4([4]byte{10, 89, 7, n}), Default: true,
		}
	}
	l, err := newLAN(s, nic(10))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	ports := [2]*port{}
	for n := range ports {
		p := &port{vm: "vm.x", name: "x", mac: hardware{0x52, 0x54, 0, 0, 0, byte(10 + n)}, lan: l, out: make(chan *frame, queue)}
		p.nic.Store(nic(byte(10 + n)))
		p.address, p.address6 = p.nic.Load().Address, netip.MustParseAddr("fd12:3456:789a::a")
		p.address6 = p.address6.Next()
		ports[n] = p
	}
	l.replace(ports[:])
	return ports[0], ports[1]
}

// FuzzFrames gives the switch what a guest could send: it must not fall over,
// and what it brings to another guest must be from the one who sent it.
func FuzzFrames(f *testing.F) {
	head := []byte{0x02, 'l', 'k', 'u', 'p', 1, 0x52, 0x54, 0, 0, 0, 10}
	peer := []byte{0x52, 0x54, 0, 0, 0, 11, 0x52, 0x54, 0, 0, 0, 10}
	ip := []byte{0x08, 0x00, 0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 89, 7, 10, 10, 89, 7, 11, 0, 1, 0, 2, 0, 9, 0, 0, 1}
	f.Add(append(append([]byte{}, head...), ip...))
	f.Add(append(append([]byte{}, peer...), ip...))
	f.Add(append(append([]byte{}, peer...), 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1))
	f.Add(append(append([]byte{}, head...), 0x86, 0xdd, 0x60))
	from, to := bare(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		fr := from.lan.owner.newFrame()
		fr.n = copy(fr.data[:], content)
		if fr.n > maxFrame || !from.honest(fr.bytes()) {
			return
		}
		from.lan.carry(from, fr)
		select {
		case got := <-to.out:
			if source(got.bytes()) != from.mac && source(got.bytes()) != gatewayMAC {
				t.Errorf("carried a frame from %x", source(got.bytes()))
			}
		default:
		}
		for len(from.out) > 0 {
			<-from.out
		}
	})
}

// FuzzNames gives the switch questions that a guest could ask.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"db.", "db.lan.", "10.7.89.10.in-addr.arpa.", "example.com.", "."} {
		m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		content, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	from, _ := bare(f)
	f.Fuzz(func(t *testing.T, question []byte) {
		answer := from.lan.gate.answer(from, question, "udp")
		var m dnsmessage.Message
		if answer != nil && m.Unpack(answer) != nil {
			t.Errorf("the answer to %x cannot be read: %x", question, answer)
		}
	})
}
