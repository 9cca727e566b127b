package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// hardware is an Ethernet address.
type hardware [6]byte

// gatewayMAC is the same in every network: it is seen in none but its own. Its
// second bit says that it was given locally.
var gatewayMAC = hardware{0x02, 'l', 'k', 'u', 'p', 1}

func (h hardware) group() bool { return h[0]&1 == 1 }

func parseHardware(text string) (hardware, error) {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != len(hardware{}) || mac[0]&1 == 1 {
		return hardware{}, fmt.Errorf("%q is no machine's Ethernet address", text)
	}
	return hardware(mac), nil
}

// Sizes and types of what lies in a frame.
const (
	ethernetHeader = 14
	arpLength      = 28
	ipv4Header     = 20
	ipv6Header     = 40
	udpHeader      = 8

	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd

	protocolICMP   = 1
	protocolUDP    = 17
	protocolICMPv6 = 58

	dhcpServer, dhcpClient = 67, 68

	routerSolicitation  = 133
	routerAdvertisement = 134
	redirect            = 137
)

func destination(content []byte) hardware { return hardware(content[0:6]) }

func source(content []byte) hardware { return hardware(content[6:12]) }

func etherType(content []byte) uint16 { return binary.BigEndian.Uint16(content[12:14]) }

// ipv4 is what counts of an IPv4 packet.
type ipv4 struct {
	from, to netip.Addr
	protocol byte
	fragment bool   // not the first of its packet
	payload  []byte // what the packet's own length covers
}

func parseIPv4(packet []byte) (ipv4, bool) {
	if len(packet) < ipv4Header || packet[0]>>4 != 4 {
		return ipv4{}, false
	}
	header, total := int(packet[0]&0xf)*4, int(binary.BigEndian.Uint16(packet[2:]))
	if header < ipv4Header || total < header || total > len(packet) {
		return ipv4{}, false
	}
	return ipv4{
		from:     netip.AddrFrom4([4]byte(packet[12:16])),
		to:       netip.AddrFrom4([4]byte(packet[16:20])),
		protocol: packet[9],
		fragment: binary.BigEndian.Uint16(packet[6:])&0x1fff != 0,
		payload:  packet[header:total],
	}, true
}

// udpPorts are where a UDP packet comes from and goes to; 0 if it is none.
func (p ipv4) udpPorts() (from, to uint16) {
	if p.protocol != protocolUDP || p.fragment || len(p.payload) < udpHeader {
		return 0, 0
	}
	return binary.BigEndian.Uint16(p.payload), binary.BigEndian.Uint16(p.payload[2:])
}

// honest reports whether a frame from a guest speaks for that guest alone. What
// is neither ARP nor IP is not carried.
func (p *port) honest(content []byte) bool {
	if len(content) < ethernetHeader || source(content) != p.mac {
		return false
	}
	packet := content[ethernetHeader:]
	switch etherType(content) {
	case typeARP:
		return p.honestARP(packet)
	case typeIPv4:
		return p.honestIPv4(packet)
	case typeIPv6:
		return p.honestIPv6(packet)
	}
	return false
}

func (p *port) honestARP(packet []byte) bool {
	if len(packet) < arpLength || hardware(packet[8:14]) != p.mac {
		return false
	}
	sender := netip.AddrFrom4([4]byte(packet[14:18]))
	return sender == p.address || sender.IsUnspecified() // who asks whether an address is free has none
}

func (p *port) honestIPv4(packet []byte) bool {
	ip, ok := parseIPv4(packet)
	from, to := ip.udpPorts()
	switch {
	case !ok, from == dhcpServer: // addresses are the switch's to give
		return false
	case ip.from.IsUnspecified():
		return to == dhcpServer
	}
	return ip.from == p.address
}

func (p *port) honestIPv6(packet []byte) bool {
	if len(packet) < ipv6Header || packet[0]>>4 != 6 {
		return false
	}
	from := netip.AddrFrom16([16]byte(packet[8:24]))
	if packet[6] == protocolICMPv6 && len(packet) > ipv6Header {
		if kind := packet[ipv6Header]; kind == routerAdvertisement || kind == redirect {
			return false // the switch is the only router
		}
	}
	return from == p.address6 || from.IsUnspecified() || from.IsLinkLocalUnicast()
}
