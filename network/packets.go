package network

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Packets that the switch makes by itself, without its TCP/IP stack.

// ethernetTo begins a frame to a guest with room for a packet.
func ethernetTo(p *port, kind tcpip.NetworkProtocolNumber, length int) (content, packet []byte) {
	content = make([]byte, ethernetHeader+length)
	header.Ethernet(content).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(gatewayMAC[:]), DstAddr: tcpip.LinkAddress(p.mac[:]), Type: kind,
	})
	return content, content[ethernetHeader:]
}

// ipv4To begins an IPv4 packet of the gateway's.
func (g *gate) ipv4To(p *port, to netip.Addr, protocol tcpip.TransportProtocolNumber, length int) (content, payload []byte) {
	content, packet := ethernetTo(p, header.IPv4ProtocolNumber, ipv4Header+length)
	ip := header.IPv4(packet)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(packet)), TTL: 64, Protocol: uint8(protocol),
		SrcAddr: toStack(g.lan.gateway), DstAddr: toStack(to),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	return content, packet[ipv4Header:]
}

// udpTo is a UDP packet of the gateway's.
func (g *gate) udpTo(p *port, to netip.Addr, fromPort, toPort uint16, payload []byte) []byte {
	content, rest := g.ipv4To(p, to, header.UDPProtocolNumber, udpHeader+len(payload))
	u := header.UDP(rest)
	u.Encode(&header.UDPFields{SrcPort: fromPort, DstPort: toPort, Length: uint16(len(rest))})
	copy(u.Payload(), payload)
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, toStack(g.lan.gateway), toStack(to), uint16(len(rest)))
	u.SetChecksum(^u.CalculateChecksum(checksum.Checksum(payload, sum)))
	return content
}

// quoted is how much of a packet is sent back with a refusal.
const quoted = 64

// refuse tells a guest that its packet is not let through.
func (g *gate) refuse(p *port, packet []byte) {
	about := packet[:min(len(packet), quoted)]
	content, rest := g.ipv4To(p, p.address, header.ICMPv4ProtocolNumber, header.ICMPv4MinimumSize+len(about))
	m := header.ICMPv4(rest)
	m.SetType(header.ICMPv4DstUnreachable)
	m.SetCode(header.ICMPv4AdminProhibited)
	copy(rest[header.ICMPv4MinimumSize:], about)
	m.SetChecksum(^checksum.Checksum(rest, 0))
	g.lan.deliver(content)
}

// Of an ARP packet, RFC 826: what is asked and answered.
const arpRequest, arpReply = 1, 2

// resolve tells a guest where the gateway is. The stack does not: it would
// answer for every address, as it takes what is for any.
func (g *gate) resolve(p *port, packet []byte) {
	asked := header.ARP(packet)
	if !asked.IsValid() || asked.Op() != arpRequest || g.lan.gateway != netip.AddrFrom4([4]byte(asked.ProtocolAddressTarget())) {
		return
	}
	content, rest := ethernetTo(p, header.ARPProtocolNumber, arpLength)
	a, gateway := header.ARP(rest), g.lan.gateway.As4()
	a.SetIPv4OverEthernet()
	a.SetOp(arpReply)
	copy(a.HardwareAddressSender(), gatewayMAC[:])
	copy(a.ProtocolAddressSender(), gateway[:])
	copy(a.HardwareAddressTarget(), p.mac[:])
	copy(a.ProtocolAddressTarget(), asked.ProtocolAddressSender())
	g.lan.deliver(content)
}

// solicits reports whether an IPv6 packet asks for routers.
func solicits(packet []byte) bool {
	return len(packet) > ipv6Header && packet[6] == protocolICMPv6 && packet[ipv6Header] == routerSolicitation
}

// Of a router's advertisement, RFC 4861, 4.2 and 4.6.2: the part before the
// options, and the option that tells the network's prefix.
const (
	advertisementHeader = 16
	prefixOption        = 32
	forever             = 0xff
)

// advertise tells a guest the prefix of which it makes its own IPv6 address.
// The switch does not offer to lead anywhere: IPv6 stays inside.
func (g *gate) advertise(p *port) {
	content, packet := ethernetTo(p, header.IPv6ProtocolNumber, ipv6Header+advertisementHeader+prefixOption)
	from := header.LinkLocalAddr(tcpip.LinkAddress(gatewayMAC[:]))
	to := header.IPv6AllNodesMulticastAddress
	header.IPv6(packet).Encode(&header.IPv6Fields{
		PayloadLength: advertisementHeader + prefixOption, TransportProtocol: header.ICMPv6ProtocolNumber,
		HopLimit: header.NDPHopLimit, SrcAddr: from, DstAddr: to,
	})
	m := header.ICMPv6(packet[ipv6Header:])
	m.SetType(header.ICMPv6RouterAdvert)
	m[4] = 64 // hops; what else there could be, such as a lifetime as a router, is 0
	option := m[advertisementHeader:]
	option[0], option[1] = 3, prefixOption/8
	option[2] = byte(g.lan.subnet6.Bits())
	option[3] = 0xc0 // it is on this link, and addresses are made of it
	for n := range 8 {
		option[4+n] = forever
	}
	prefix := g.lan.subnet6.Masked().Addr().As16()
	copy(option[16:], prefix[:])
	m.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: m, Src: from, Dst: to}))
	g.lan.deliver(content)
}
