package network_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/network"
)

// limit bounds whatever a test waits for.
const limit = 10 * time.Second

// subnet is the tests' network.
var (
	subnet  = netip.MustParsePrefix("10.89.7.0/24")
	gateway = netip.MustParseAddr("10.89.7.1")
	subnet6 = netip.MustParsePrefix("fd12:3456:789a::/64")
)

// machine is the nth machine of a test, in the network lan.
func machine(t *testing.T, dir, name string, n int) network.Machine {
	t.Helper()
	a, a6 := subnet.Addr().As4(), subnet6.Addr().As16()
	a[3], a6[15] = byte(n), byte(n)
	return network.Machine{
		ID: fmt.Sprintf("%08x", n), Address: "vm." + name, Name: name,
		NICs: []drivers.NIC{{
			Network: "network.lan", Name: "lan", MAC: fmt.Sprintf("52:54:00:00:00:%02x", n),
			Socket: filepath.Join(dir, name+".g"), Switch: filepath.Join(dir, name+".s"),
			Subnet: subnet, Gateway: gateway, Address: netip.AddrFrom4(a), Subnet6: subnet6, Address6: netip.AddrFrom16(a6),
			Default: true, Egress: []string{"all"},
		}},
	}
}

// guest is a TCP/IP stack behind a NIC, as QEMU would have it.
type guest struct {
	stack *stack.Stack
	wire  *net.UnixConn
	to    *net.UnixAddr
	nic   drivers.NIC
	raw   chan []byte // frames that it received, the oldest first; some may be lost
}

func boot(t *testing.T, nic drivers.NIC) *guest {
	t.Helper()
	mac, err := net.ParseMAC(nic.MAC)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: nic.Socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	link := channel.New(256, 1514, tcpip.LinkAddress(mac))
	g := &guest{wire: wire, to: &net.UnixAddr{Name: nic.Switch, Net: "unixgram"}, nic: nic, raw: make(chan []byte, 256)}
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := g.stack.CreateNIC(1, ethernet.New(link)); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Prefix{netip.PrefixFrom(nic.Address, nic.Subnet.Bits()), netip.PrefixFrom(nic.Address6, nic.Subnet6.Bits())} {
		protocol := ipv4.ProtocolNumber
		if a.Addr().Is6() {
			protocol = ipv6.ProtocolNumber
		}
		own := tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(a.Addr().AsSlice()), PrefixLen: a.Bits()}}
		if err := g.stack.AddProtocolAddress(1, own, stack.AddressProperties{}); err != nil {
			t.Fatal(err)
		}
	}
	inside, _ := tcpip.NewSubnet(tcpip.AddrFromSlice(nic.Subnet.Addr().AsSlice()), tcpip.MaskFromBytes(net.CIDRMask(nic.Subnet.Bits(), 32)))
	inside6, _ := tcpip.NewSubnet(tcpip.AddrFromSlice(nic.Subnet6.Addr().AsSlice()), tcpip.MaskFromBytes(net.CIDRMask(nic.Subnet6.Bits(), 128)))
	g.stack.SetRouteTable([]tcpip.Route{
		{Destination: inside, NIC: 1}, {Destination: inside6, NIC: 1},
		{Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFromSlice(nic.Gateway.AsSlice()), NIC: 1},
	})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); g.stack.Destroy(); wire.Close() })
	go g.send(ctx, link)
	go g.receive(link)
	return g
}

func (g *guest) send(ctx context.Context, link *channel.Endpoint) {
	for {
		pkt := link.ReadContext(ctx)
		if pkt == nil {
			return
		}
		view := pkt.ToView()
		_, _ = g.wire.WriteToUnix(view.AsSlice(), g.to) // packets may be lost
		pkt.DecRef()
	}
}

func (g *guest) receive(link *channel.Endpoint) {
	content := make([]byte, 16<<10)
	for {
		n, err := g.wire.Read(content)
		if err != nil {
			return
		}
		frame := append([]byte(nil), content[:n]...)
		select {
		case g.raw <- frame:
		default:
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
		link.InjectInbound(0, pkt)
		pkt.DecRef()
	}
}

// put sends a frame as it is.
func (g *guest) put(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := g.wire.WriteToUnix(frame, g.to); err != nil {
		t.Fatal(err)
	}
}

// await gives the next frame that a test looks for.
func (g *guest) await(t *testing.T, what string, wanted func([]byte) bool) []byte {
	t.Helper()
	end := time.After(limit)
	for {
		select {
		case f := <-g.raw:
			if wanted(f) {
				return f
			}
		case <-end:
			t.Fatalf("no %s came", what)
		}
	}
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is6() {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

func (g *guest) dial(to string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	at := netip.MustParseAddrPort(to)
	conn, err := gonet.DialContextTCP(ctx, g.stack, full(at), protocolOf(at.Addr()))
	if err != nil {
		return nil, err // not a typed nil
	}
	return conn, nil
}

func (g *guest) dialUDP(t *testing.T, to string) net.Conn {
	t.Helper()
	at := netip.MustParseAddrPort(to)
	a := full(at)
	conn, err := gonet.DialUDP(g.stack, nil, &a, protocolOf(at.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(limit))
	return conn
}

// echo has the guest send back what it is told, by TCP and UDP.
func (g *guest) echo(t *testing.T, a netip.Addr, port uint16) {
	t.Helper()
	at := full(netip.AddrPortFrom(a, port))
	listener, err := gonet.ListenTCP(g.stack, at, protocolOf(a))
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
	packets, err := gonet.DialUDP(g.stack, &at, nil, protocolOf(a))
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
}

// says sends a text over a connection and wants it back.
func says(t *testing.T, conn net.Conn, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, 5)
	if _, err := io.ReadFull(conn, back); err != nil || string(back) != "hello" {
		t.Fatalf("came back: %q, %v", back, err)
	}
}

// refusedAtOnce wants a TCP connection refused by a packet, not by waiting.
func refusedAtOnce(t *testing.T, g *guest, to string) {
	t.Helper()
	began := time.Now()
	conn, err := g.dial(to)
	if err == nil {
		conn.Close()
		t.Fatalf("%s was reached", to)
	}
	if took := time.Since(began); took > time.Second || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%s was refused after %s: %v", to, took, err)
	}
}

// refusedUDP wants a UDP packet answered by an ICMP message.
func refusedUDP(t *testing.T, g *guest, to string) {
	t.Helper()
	conn := g.dialUDP(t, to)
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	g.await(t, "ICMP message about "+to, func(f []byte) bool {
		return len(f) >= 14+20+8 && f[12] == 8 && f[13] == 0 && f[14+9] == 1 && f[14+20] == 3
	})
}

// ask asks the gateway for a name.
func (g *guest) ask(t *testing.T, name string, kind dnsmessage.Type) (dnsmessage.RCode, []string) {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	question, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	conn := g.dialUDP(t, g.nic.Gateway.String()+":53")
	if _, err := conn.Write(question); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 2048)
	n, err := conn.Read(content)
	if err != nil {
		t.Fatalf("ask for %s: %v", name, err)
	}
	var answer dnsmessage.Message
	if err := answer.Unpack(content[:n]); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range answer.Answers {
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			found = append(found, netip.AddrFrom4(body.A).String())
		case *dnsmessage.AAAAResource:
			found = append(found, netip.AddrFrom16(body.AAAA).String())
		case *dnsmessage.PTRResource:
			found = append(found, body.PTR.String())
		}
	}
	return answer.RCode, found
}
