package network_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/network"
)

var all = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// udpFrame is a UDP packet in a frame, without checksums that a host would look at.
func udpFrame(fromMAC, toMAC []byte, from, to string, fromPort, toPort uint16, payload []byte) []byte {
	frame := make([]byte, 14+20+8+len(payload))
	header.Ethernet(frame).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(fromMAC), DstAddr: tcpip.LinkAddress(toMAC), Type: header.IPv4ProtocolNumber})
	ip := header.IPv4(frame[14:])
	a, b := netip.MustParseAddr(from), netip.MustParseAddr(to)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(frame) - 14), TTL: 64, Protocol: 17, SrcAddr: tcpip.AddrFromSlice(a.AsSlice()), DstAddr: tcpip.AddrFromSlice(b.AsSlice())})
	ip.SetChecksum(^ip.CalculateChecksum())
	header.UDP(frame[34:]).Encode(&header.UDPFields{SrcPort: fromPort, DstPort: toPort, Length: uint16(8 + len(payload))})
	copy(frame[42:], payload)
	return frame
}

func mac(n byte) []byte { return []byte{0x52, 0x54, 0, 0, 0, n} }

func TestAnyImageGetsItsAddressByDHCP(t *testing.T) {
	sw, m := newSwitch(t, network.Settings{}), machine(t, t.TempDir(), "db", 10)
	plug(t, sw, m)
	g := boot(t, m.NICs[0])
	ask := func(question *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		t.Helper()
		g.put(t, udpFrame(mac(10), all, "0.0.0.0", "255.255.255.255", 68, 67, question.ToBytes()))
		var answer *dhcpv4.DHCPv4
		g.await(t, "DHCP answer", func(f []byte) bool {
			if len(f) < 42 || f[14+9] != 17 || f[35] != 67 && f[34] != 0 {
				return false
			}
			var err error
			answer, err = dhcpv4.FromBytes(f[42:])
			return err == nil && answer.TransactionID == question.TransactionID
		})
		return answer
	}
	discover, err := dhcpv4.NewDiscovery(mac(10))
	if err != nil {
		t.Fatal(err)
	}
	offer := ask(discover)
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	ack := ask(request)
	if ack.MessageType() != dhcpv4.MessageTypeAck || ack.YourIPAddr.String() != "10.89.7.10" || ack.Router()[0].String() != "10.89.7.1" ||
		ack.DNS()[0].String() != "10.89.7.1" || ack.DomainName() != "shop.internal" || ack.HostName() != "db" || ack.SubnetMask().String() != "ffffff00" {
		t.Errorf("the lease is\n%s", ack.Summary())
	}
	wrong, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithHwAddr(mac(10)), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress([]byte{10, 89, 7, 99})))
	if err != nil {
		t.Fatal(err)
	}
	if nak := ask(wrong); nak.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("somebody else's address:\n%s", nak.Summary())
	}
}

// TestAGuestSpeaksForItselfAlone sends frames as a hostile guest would, each
// followed by an honest one, and wants the other guest to get the honest alone.
func TestAGuestSpeaksForItselfAlone(t *testing.T) {
	sw, dir := newSwitch(t, network.Settings{}), t.TempDir()
	db, web := machine(t, dir, "db", 10), machine(t, dir, "web", 11)
	plug(t, sw, db, web)
	a, b := boot(t, db.NICs[0]), boot(t, web.NICs[0])
	honest := func(payload byte) []byte {
		return udpFrame(mac(11), mac(10), "10.89.7.11", "10.89.7.10", 1, 2, []byte{payload})
	}
	arp := func(sender byte) []byte {
		f := make([]byte, 14+28)
		header.Ethernet(f).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(mac(11)), DstAddr: tcpip.LinkAddress(all), Type: header.ARPProtocolNumber})
		p := header.ARP(f[14:])
		p.SetIPv4OverEthernet()
		p.SetOp(header.ARPReply)
		copy(p.HardwareAddressSender(), mac(11))
		copy(p.ProtocolAddressSender(), []byte{10, 89, 7, sender})
		return f
	}
	v6 := func(next byte, from string, payload ...byte) []byte {
		f := make([]byte, 14+40+len(payload))
		header.Ethernet(f).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(mac(11)), DstAddr: tcpip.LinkAddress(mac(10)), Type: header.IPv6ProtocolNumber})
		header.IPv6(f[14:]).Encode(&header.IPv6Fields{PayloadLength: uint16(len(payload)), TransportProtocol: tcpip.TransportProtocolNumber(next), SrcAddr: tcpip.AddrFromSlice(netip.MustParseAddr(from).AsSlice())})
		copy(f[54:], payload)
		return f
	}
	tagged := honest(0)
	tagged[12], tagged[13] = 0x81, 0
	long := honest(0)
	long[14+2], long[14+3] = 0xff, 0xff
	for n, forged := range map[string][]byte{
		"another's Ethernet address":   udpFrame(mac(10), mac(10), "10.89.7.11", "10.89.7.10", 1, 2, nil),
		"another's IPv4 address":       udpFrame(mac(11), mac(10), "10.89.7.1", "10.89.7.10", 1, 2, nil),
		"the gateway's address by ARP": arp(1),
		"another's address by ARP":     arp(10),
		"another's IPv6 address":       v6(17, "fd12:3456:789a::a"),
		"a router's advertisement":     v6(58, "fe80::1", 134, 0, 0, 0),
		"a redirection":                v6(58, "fe80::1", 137, 0, 0, 0),
		"a DHCP server's answer":       udpFrame(mac(11), mac(10), "10.89.7.11", "10.89.7.10", 67, 68, nil),
		"no address, but no DHCP":      udpFrame(mac(11), mac(10), "0.0.0.0", "10.89.7.10", 68, 69, nil),
		"a VLAN":                       tagged,
		"a length beyond its end":      long,
		"half a header":                honest(0)[:20],
		"no frame":                     {1, 2, 3},
		"too much":                     append(honest(0), make([]byte, drivers.NetworkMTU)...),
	} {
		b.put(t, forged)
		marker := honest(1)
		b.put(t, marker)
		got := a.await(t, "frame", func(f []byte) bool { return bytes.Equal(f, marker) || bytes.Equal(f, forged) })
		if !bytes.Equal(got, marker) {
			t.Errorf("%s was carried", n)
			a.await(t, "honest frame", func(f []byte) bool { return bytes.Equal(f, marker) })
		}
	}
	b.put(t, arp(11))
	a.await(t, "honest ARP packet", func(f []byte) bool { return bytes.Equal(f, arp(11)) })
}

func TestARoutersAdvertisementTellsThePrefix(t *testing.T) {
	sw, m := newSwitch(t, network.Settings{}), machine(t, t.TempDir(), "db", 10)
	plug(t, sw, m)
	g := boot(t, m.NICs[0])
	f := make([]byte, 14+40+8)
	header.Ethernet(f).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(mac(10)), DstAddr: tcpip.LinkAddress([]byte{0x33, 0x33, 0, 0, 0, 2}), Type: header.IPv6ProtocolNumber})
	header.IPv6(f[14:]).Encode(&header.IPv6Fields{PayloadLength: 8, TransportProtocol: 58, HopLimit: 255, SrcAddr: header.LinkLocalAddr(tcpip.LinkAddress(mac(10))), DstAddr: header.IPv6AllRoutersLinkLocalMulticastAddress})
	f[54] = 133
	g.put(t, f)
	got := g.await(t, "advertisement", func(f []byte) bool { return len(f) >= 14+40+16+32 && f[12] == 0x86 && f[54] == 134 })
	icmp := header.ICMPv6(got[54:])
	ip := header.IPv6(got[14:])
	if sum := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()}); sum != icmp.Checksum() {
		t.Errorf("its checksum is %x and not %x", icmp.Checksum(), sum)
	}
	if life := got[54+6 : 54+8]; life[0]|life[1] != 0 {
		t.Error("it offers to lead out")
	}
	if prefix := netip.AddrFrom16([16]byte(got[54+16+16:])); prefix != subnet6.Addr() {
		t.Errorf("its prefix is %s", prefix)
	}
}
