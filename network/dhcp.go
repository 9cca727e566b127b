package network

import (
	"bytes"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

// lease answers a guest that asks for its address. There is one answer, so that
// it need not be remembered who was told what.
func (g *gate) lease(p *port, question []byte) {
	asked, err := dhcpv4.FromBytes(question)
	if err != nil || asked.OpCode != dhcpv4.OpcodeBootRequest || !bytes.Equal(asked.ClientHWAddr, p.mac[:]) {
		return
	}
	kind := dhcpv4.MessageTypeAck
	switch asked.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		if want := asked.RequestedIPAddress(); want != nil && !want.IsUnspecified() && !want.Equal(ip(p)) {
			kind = dhcpv4.MessageTypeNak
		}
	case dhcpv4.MessageTypeInform:
	default:
		return
	}
	answer, err := dhcpv4.NewReplyFromRequest(asked, g.leaseOptions(p, kind)...)
	if err != nil {
		return
	}
	to := p.address
	if asked.IsBroadcast() || kind == dhcpv4.MessageTypeNak {
		to = broadcast
	}
	g.lan.deliver(g.udpTo(p, to, dhcpServer, dhcpClient, answer.ToBytes()))
}

func ip(p *port) net.IP { return p.address.AsSlice() }

// leaseTime is long: addresses are a machine's for its whole life.
const leaseTime = 24 * time.Hour

func (g *gate) leaseOptions(p *port, kind dhcpv4.MessageType) []dhcpv4.Modifier {
	gateway := net.IP(g.lan.gateway.AsSlice())
	options := []dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(gateway), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway))}
	if kind == dhcpv4.MessageTypeNak {
		return options
	}
	options = append(options,
		dhcpv4.WithYourIP(ip(p)),
		dhcpv4.WithNetmask(net.CIDRMask(g.lan.subnet.Bits(), 32)),
		dhcpv4.WithLeaseTime(uint32(leaseTime/time.Second)),
		dhcpv4.WithOption(dhcpv4.OptHostName(p.name)),
	)
	if p.nic.Load().Default {
		domain := g.lan.owner.domain()
		options = append(options, dhcpv4.WithRouter(gateway), dhcpv4.WithDNS(gateway),
			dhcpv4.WithOption(dhcpv4.OptDomainName(domain)), dhcpv4.WithOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{domain}})))
	}
	return options
}
