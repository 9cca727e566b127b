package network_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/network"
)

// outside is a stand-in for the world: what lies at which address there.
type outside map[string]string

func (o outside) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	to, there := o[kind+" "+address]
	if !there {
		return nil, fmt.Errorf("nothing is at %s", address)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, kind, to)
}

func newSwitch(t *testing.T, s network.Settings) *network.Switch {
	t.Helper()
	s.Stack, s.Now = "shop", time.Now
	if s.Resolvers == nil {
		s.Resolvers = func() []string { return nil }
	}
	sw := network.New(s)
	t.Cleanup(sw.Close)
	return sw
}

func plug(t *testing.T, sw *network.Switch, machines ...network.Machine) {
	t.Helper()
	for _, m := range machines {
		if err := sw.Plug(m); err != nil {
			t.Fatal(err)
		}
	}
}

// hostEcho is an echo server of the host's, by TCP and UDP.
func hostEcho(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); io.Copy(conn, conn) }()
		}
	}()
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	go func() {
		content := make([]byte, 2048)
		for {
			n, from, err := packets.ReadFrom(content)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(content[:n], from)
		}
	}()
	return listener.Addr().String()
}

func TestMachinesReachEachOtherByTCPAndUDPAndIPv6(t *testing.T) {
	sw, dir := newSwitch(t, network.Settings{}), t.TempDir()
	db, web := machine(t, dir, "db", 10), machine(t, dir, "web", 11)
	plug(t, sw, db, web)
	a, b := boot(t, db.NICs[0]), boot(t, web.NICs[0])
	a.echo(t, db.NICs[0].Address, 5432)
	a.echo(t, db.NICs[0].Address6, 5432)
	conn, err := b.dial("10.89.7.10:5432")
	says(t, conn, err)
	conn, err = b.dial("[fd12:3456:789a::a]:5432")
	says(t, conn, err)
	says(t, b.dialUDP(t, "10.89.7.10:5432"), nil)
	says(t, b.dialUDP(t, "[fd12:3456:789a::a]:5432"), nil)
}

func TestNamesAreAnsweredWithinSharedNetworksOnly(t *testing.T) {
	sw, dir := newSwitch(t, network.Settings{}), t.TempDir()
	db, web, other := machine(t, dir, "db", 10), machine(t, dir, "web", 11), machine(t, dir, "hidden", 12)
	db.NICs[0].Aliases = []string{"postgres"}
	other = elsewhere(other)
	web.NICs[0].Egress = nil
	plug(t, sw, db, web, other)
	g := boot(t, web.NICs[0])
	type answer struct {
		Code  dnsmessage.RCode
		Found []string
	}
	for name, want := range map[string]answer{
		"A db.":                         {dnsmessage.RCodeSuccess, []string{"10.89.7.10"}},
		"A DB.Lan.":                     {dnsmessage.RCodeSuccess, []string{"10.89.7.10"}},
		"A db.shop.internal.":           {dnsmessage.RCodeSuccess, []string{"10.89.7.10"}},
		"A db.lan.shop.internal.":       {dnsmessage.RCodeSuccess, []string{"10.89.7.10"}},
		"A postgres.":                   {dnsmessage.RCodeSuccess, []string{"10.89.7.10"}},
		"AAAA db.":                      {dnsmessage.RCodeSuccess, []string{"fd12:3456:789a::a"}},
		"MX db.":                        {dnsmessage.RCodeSuccess, nil},
		"A web.":                        {dnsmessage.RCodeSuccess, []string{"10.89.7.11"}},
		"PTR 10.7.89.10.in-addr.arpa.":  {dnsmessage.RCodeSuccess, []string{"db.shop.internal."}},
		"PTR 99.7.89.10.in-addr.arpa.":  {dnsmessage.RCodeNameError, nil},
		"A nobody.":                     {dnsmessage.RCodeNameError, nil},
		"A db.back.":                    {dnsmessage.RCodeNameError, nil},
		"A hidden.":                     {dnsmessage.RCodeNameError, nil}, // no network is shared
		"A hidden.back.shop.internal.":  {dnsmessage.RCodeNameError, nil},
		"A host.shop.internal.":         {dnsmessage.RCodeNameError, nil}, // without host_access
		"A example.com.":                {dnsmessage.RCodeRefused, nil},
		"PTR 1.113.0.203.in-addr.arpa.": {dnsmessage.RCodeRefused, nil},
	} {
		kind, name, _ := strings.Cut(name, " ")
		kinds := map[string]dnsmessage.Type{"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "MX": dnsmessage.TypeMX, "PTR": dnsmessage.TypePTR}
		var got answer
		got.Code, got.Found = g.ask(t, name, kinds[kind])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s (-want +got)\n%s", kind, name, diff)
		}
	}
}

// elsewhere is the machine in another network of the stack.
func elsewhere(m network.Machine) network.Machine {
	n := &m.NICs[0]
	n.Network, n.Name, n.Subnet, n.Gateway = "network.back", "back", netip.MustParsePrefix("10.89.8.0/24"), netip.MustParseAddr("10.89.8.1")
	n.Address, n.Subnet6, n.Address6 = netip.MustParseAddr("10.89.8.12"), netip.MustParsePrefix("fd12:3456:789b::/64"), netip.MustParseAddr("fd12:3456:789b::c")
	return m
}

func TestNoWayLeadsThroughTheGatewayIntoAnotherNetwork(t *testing.T) {
	world := hostEcho(t)
	sw, dir := newSwitch(t, network.Settings{Dial: outside{"tcp 10.89.8.12:80": world, "udp 10.89.8.12:80": world}.dial}), t.TempDir()
	web, hidden := machine(t, dir, "web", 11), elsewhere(machine(t, dir, "hidden", 12))
	plug(t, sw, web, hidden)
	g := boot(t, web.NICs[0])
	refusedAtOnce(t, g, "10.89.8.12:80")
	refusedUDP(t, g, "10.89.8.12:80")
}

func TestEgressNoneRefusesAtOnceAndNotes(t *testing.T) {
	world := hostEcho(t)
	sw := newSwitch(t, network.Settings{Dial: outside{"tcp 203.0.113.5:80": world, "udp 203.0.113.5:80": world}.dial})
	dir := t.TempDir()
	m := machine(t, dir, "web", 11)
	m.NICs[0].Egress = nil
	plug(t, sw, m)
	g := boot(t, m.NICs[0])
	refusedAtOnce(t, g, "203.0.113.5:80")
	refusedAtOnce(t, g, "203.0.113.5:80")
	refusedUDP(t, g, "203.0.113.5:80")
	if code, _ := g.ask(t, "example.com.", dnsmessage.TypeA); code != dnsmessage.RCodeRefused {
		t.Errorf("a name outside: %v", code)
	}
	got := map[string]int{}
	for _, d := range sw.Look().Denied {
		got[d.VM+" "+d.Network+" "+d.Protocol+" "+d.To] = d.Count
	}
	want := map[string]int{
		"vm.web network.lan tcp 203.0.113.5:80": 2, "vm.web network.lan udp 203.0.113.5:80": 1, "vm.web network.lan dns example.com": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("denied (-want +got)\n%s", diff)
	}
	// The list may change while the guest runs.
	open := m
	open.NICs = []drivers.NIC{m.NICs[0]}
	open.NICs[0].Egress = []string{"all"}
	plug(t, sw, open)
	conn, err := g.dial("203.0.113.5:80")
	says(t, conn, err)
	says(t, g.dialUDP(t, "203.0.113.5:80"), nil)
}

// resolver is a DNS server of the host's that knows one name.
func resolver(t *testing.T, name string, a [4]byte) string {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	go func() {
		content := make([]byte, 2048)
		for {
			n, from, err := packets.ReadFrom(content)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(content[:n]) != nil {
				continue
			}
			m.Response, m.RCode = true, dnsmessage.RCodeNameError
			if m.Questions[0].Name.String() == name {
				m.RCode = dnsmessage.RCodeSuccess
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 30}, Body: &dnsmessage.AResource{A: a},
				}}
			}
			answer, _ := m.Pack()
			_, _ = packets.WriteTo(answer, from)
		}
	}()
	return packets.LocalAddr().String()
}

func TestAnEgressListLetsThroughWhatItNames(t *testing.T) {
	world := hostEcho(t)
	dns := resolver(t, "api.example.com.", [4]byte{203, 0, 113, 7})
	sw := newSwitch(t, network.Settings{
		Dial: outside{"tcp 203.0.113.7:443": world, "udp 203.0.113.7:443": world, "tcp 203.0.113.7:22": world, "tcp 198.51.100.9:22": world, "tcp 192.0.2.1:80": world, "tcp 192.0.2.1:81": world}.dial,
	})
	dir := t.TempDir()
	m := machine(t, dir, "web", 11)
	m.NICs[0].Egress, m.NICs[0].DNS = []string{"api.example.com:443", "198.51.100.0/24", "192.0.2.1:80"}, []string{dns}
	plug(t, sw, m)
	g := boot(t, m.NICs[0])

	// A name's address is known though nobody asked here: the guest may have before a crash.
	conn, err := g.dial("203.0.113.7:443")
	says(t, conn, err)
	if code, found := g.ask(t, "api.example.com.", dnsmessage.TypeA); code != dnsmessage.RCodeSuccess || len(found) != 1 {
		t.Errorf("the listed name: %v %v", code, found)
	}
	says(t, g.dialUDP(t, "203.0.113.7:443"), nil)
	conn, err = g.dial("198.51.100.9:22")
	says(t, conn, err)
	conn, err = g.dial("192.0.2.1:80")
	says(t, conn, err)

	refusedAtOnce(t, g, "203.0.113.7:22") // another port of the name
	refusedAtOnce(t, g, "192.0.2.1:81")
	refusedAtOnce(t, g, "203.0.113.8:443")
	refusedUDP(t, g, "203.0.113.8:443")
	for _, name := range []string{"example.com.", "x.api.example.com.", "secret.evil.example."} {
		if code, _ := g.ask(t, name, dnsmessage.TypeA); code != dnsmessage.RCodeRefused {
			t.Errorf("%s: %v", name, code)
		}
	}
}

func TestTheHostIsOutOfReachUnlessItsNetworkSaysOtherwise(t *testing.T) {
	_, port, err := net.SplitHostPort(hostEcho(t))
	if err != nil {
		t.Fatal(err)
	}
	own := netip.MustParseAddr("192.0.2.44")
	sw := newSwitch(t, network.Settings{HostAddresses: func() []netip.Addr { return []netip.Addr{own} }})
	m := machine(t, t.TempDir(), "web", 11)
	plug(t, sw, m)
	g := boot(t, m.NICs[0])
	for _, a := range []string{"10.89.7.1", "192.0.2.44", "169.254.169.254", "0.0.0.1"} {
		refusedAtOnce(t, g, a+":"+port)
		refusedUDP(t, g, a+":"+port)
	}
	refusedAtOnce(t, g, "10.89.7.1:22")
	reaching := m
	reaching.NICs = []drivers.NIC{m.NICs[0]}
	reaching.NICs[0].HostAccess = true
	plug(t, sw, reaching)
	conn, err := g.dial("10.89.7.1:" + port)
	says(t, conn, err)
	says(t, g.dialUDP(t, "10.89.7.1:"+port), nil)
	if _, found := g.ask(t, "host.shop.internal.", dnsmessage.TypeA); !cmp.Equal(found, []string{"10.89.7.1"}) {
		t.Errorf("host.shop.internal is %v", found)
	}
}

// freePort is a port of the host that nobody held a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestHostPortsComeAndGoWhileConnectionsLast(t *testing.T) {
	sw := newSwitch(t, network.Settings{})
	m := machine(t, t.TempDir(), "db", 10)
	tcp := drivers.Port{Address: "127.0.0.1", Host: freePort(t), Guest: 5432, Protocol: "tcp"}
	udp := drivers.Port{Address: "127.0.0.1", Host: freePort(t), Guest: 5432, Protocol: "udp"}
	m.Ports = []drivers.Port{tcp}
	plug(t, sw, m)
	g := boot(t, m.NICs[0])
	g.echo(t, m.NICs[0].Address, 5432)
	at := func(p drivers.Port) string { return fmt.Sprintf("127.0.0.1:%d", p.Host) }

	kept, err := net.Dial("tcp", at(tcp))
	if err != nil {
		t.Fatal(err)
	}
	_ = kept.SetDeadline(time.Now().Add(limit))
	if _, err := kept.Write([]byte("hel")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(kept, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}

	changed := m
	changed.Ports = []drivers.Port{udp}
	plug(t, sw, changed)
	if diff := cmp.Diff([]drivers.Port{udp}, sw.Ports(m.ID)); diff != "" {
		t.Errorf("ports (-want +got)\n%s", diff)
	}
	conn, err := net.Dial("udp", at(udp))
	if err != nil {
		t.Fatal(err)
	}
	says(t, conn, nil)
	if conn, err := net.Dial("tcp", at(tcp)); err == nil {
		conn.Close()
		t.Error("a port that was taken away is still open")
	}
	says(t, kept, nil)

	held := changed
	held.ID, held.Address, held.Name = "0000000b", "vm.web", "web"
	held.NICs = machine(t, t.TempDir(), "web", 11).NICs
	err = sw.Plug(held)
	if want := fmt.Sprintf("host port 127.0.0.1:%d is held by vm.db; end it, or change \"host\" of the port for guest port 5432", udp.Host); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	sw.Unplug(m.ID)
	if err := sw.Plug(held); err != nil {
		t.Errorf("after the holder is gone: %v", err)
	}
}

func TestAGuestIsMetAgainByAnotherSwitch(t *testing.T) {
	dir := t.TempDir()
	db, web := machine(t, dir, "db", 10), machine(t, dir, "web", 11)
	first := network.New(network.Settings{Stack: "shop", Now: time.Now})
	plug(t, first, db, web)
	a, b := boot(t, db.NICs[0]), boot(t, web.NICs[0])
	a.echo(t, db.NICs[0].Address, 5432)
	kept, err := b.dial("10.89.7.10:5432")
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	second := newSwitch(t, network.Settings{})
	plug(t, second, db, web)
	says(t, kept, nil) // the guests' own connection lasts
	conn, err := b.dial("10.89.7.10:5432")
	says(t, conn, err)
}

func TestTidyTakesOffTheDead(t *testing.T) {
	sw := newSwitch(t, network.Settings{})
	m := machine(t, t.TempDir(), "db", 10)
	m.Ports = []drivers.Port{{Address: "127.0.0.1", Host: freePort(t), Guest: 80, Protocol: "tcp"}}
	plug(t, sw, m)
	if got := sw.Tidy(); !cmp.Equal(got, []string{m.ID}) {
		t.Fatalf("one that does not run yet: %v", got)
	}
	g := boot(t, m.NICs[0])
	if got := sw.Tidy(); !cmp.Equal(got, []string{m.ID}) {
		t.Fatalf("one that runs: %v", got)
	}
	g.wire.Close()
	if got := sw.Tidy(); len(got) != 0 || len(sw.Ports(m.ID)) != 0 {
		t.Errorf("one that ended: %v, %v", got, sw.Ports(m.ID))
	}
}
