package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	netv4 "gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// gate is a network's gateway: it answers for everything that is not in the
// network, as a TCP/IP stack of its own, and goes on from there with the host's
// sockets.
type gate struct {
	lan   *lan
	stack *stack.Stack
	link  *channel.Endpoint
	ctx   context.Context // ends with the gate; what was begun for guests ends with it
	end   context.CancelFunc

	mu      sync.Mutex
	closing bool // guarded by mu, so that nothing begins behind the waiting for done
	done    sync.WaitGroup
	// sessions bounds the UDP sessions, each of which takes a socket of the host.
	sessions chan struct{}
	names    chan struct{} // bounds the questions under way
}

const (
	nicID       = 1
	halfOpen    = 512 // TCP connections that are being made
	mostUDP     = 1024
	mostNames   = 64
	dialLimit   = 10 * time.Second
	idleUDP     = 90 * time.Second
	gateBacklog = 1024 // frames
)

func openGate(l *lan) (*gate, error) {
	ctx, end := context.WithCancel(context.Background())
	g := &gate{
		lan: l, ctx: ctx, end: end,
		link:     channel.New(gateBacklog, maxFrame, tcpip.LinkAddress(gatewayMAC[:])),
		sessions: make(chan struct{}, mostUDP), names: make(chan struct{}, mostNames),
	}
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{netv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := g.configure(); err != nil {
		g.stack.Destroy()
		end()
		return nil, fmt.Errorf("open the gateway %s: %w", l.gateway, err)
	}
	g.done.Add(1)
	go g.give()
	if err := g.serveNames(); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// failure is a mistake of the TCP/IP stack's as an error.
func failure(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s", err)
}

func (g *gate) configure() error {
	if err := g.stack.CreateNIC(nicID, ethernet.New(g.link)); err != nil {
		return failure(err)
	}
	own := tcpip.ProtocolAddress{Protocol: netv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{
		Address: toStack(g.lan.gateway), PrefixLen: g.lan.subnet.Bits(),
	}}
	if err := g.stack.AddProtocolAddress(nicID, own, stack.AddressProperties{}); err != nil {
		return failure(err)
	}
	// It takes what is for any address, and answers from it.
	if err := g.stack.SetPromiscuousMode(nicID, true); err != nil {
		return failure(err)
	}
	if err := g.stack.SetSpoofing(nicID, true); err != nil {
		return failure(err)
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 212 << 10, Max: 1 << 20}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 212 << 10, Max: 1 << 20}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &receive, &send} {
		if err := g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return failure(err)
		}
	}
	g.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(g.stack, 0, halfOpen, g.connect).HandlePacket)
	g.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(g.stack, g.relay).HandlePacket)
	return nil
}

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func fromStack(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice()) // zero is nobody's
	return addr
}

func (g *gate) close() {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	g.end()
	g.stack.Destroy()
	g.link.Close()
	g.done.Wait()
}

// begin reports whether something may begin that close waits for; it calls
// g.done.Done when it ends.
func (g *gate) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closing {
		g.done.Add(1)
	}
	return !g.closing
}

// meet tells the gateway where a guest is, so that it need not ask.
func (g *gate) meet(p *port) error {
	return failure(g.stack.AddStaticNeighbor(nicID, netv4.ProtocolNumber, toStack(p.address), tcpip.LinkAddress(p.mac[:])))
}

func (g *gate) part(p *port) {
	_ = g.stack.RemoveNeighbor(nicID, netv4.ProtocolNumber, toStack(p.address)) // it may be gone with the network
}

// take is given the frames that reach the gateway. It keeps none.
func (g *gate) take(from *port, content []byte) {
	packet := content[ethernetHeader:]
	switch etherType(content) {
	case typeARP:
		g.resolve(from, packet)
	case typeIPv6:
		if solicits(packet) {
			g.advertise(from)
		}
	case typeIPv4:
		ip, _ := parseIPv4(packet)
		_, to := ip.udpPorts()
		switch {
		case to == dhcpServer:
			g.lease(from, ip.payload[udpHeader:])
		case ip.to.IsMulticast(), ip.to == broadcast, ip.to == last(g.lan.subnet):
		case ip.protocol == protocolICMP && ip.to != g.lan.gateway:
			// No socket of the host's carries pings without privileges.
			g.deny(from, "icmp", netip.AddrPortFrom(ip.to, 0))
			g.refuse(from, packet)
		default:
			g.inject(content)
		}
	}
}

func (g *gate) inject(content []byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(content)})
	g.link.InjectInbound(0, pkt) // its type stands in the frame
	pkt.DecRef()
}

// give brings the gateway's frames to the guests.
func (g *gate) give() {
	defer g.done.Done()
	for {
		pkt := g.link.ReadContext(g.ctx)
		if pkt == nil {
			return
		}
		view := pkt.ToView()
		g.lan.deliver(view.AsSlice())
		view.Release()
		pkt.DecRef()
	}
}

// sender is whose address something comes from.
func (g *gate) sender(id stack.TransportEndpointID) (from *port, to netip.AddrPort) {
	from = g.lan.table.Load().byIP[fromStack(id.RemoteAddress)]
	return from, netip.AddrPortFrom(fromStack(id.LocalAddress), id.LocalPort)
}

// connect decides about a TCP connection that a guest begins.
func (g *gate) connect(r *tcp.ForwarderRequest) {
	if !g.begin() {
		r.Complete(true)
		return
	}
	defer g.done.Done()
	from, to := g.sender(r.ID())
	ctx, cancel := context.WithTimeout(g.ctx, dialLimit)
	defer cancel()
	target, may := g.mayReach(ctx, from, "tcp", to)
	if !may {
		r.Complete(true)
		return
	}
	out, err := g.lan.owner.settings.Dial(ctx, "tcp", target)
	if err != nil {
		r.Complete(true)
		return
	}
	var waiting waiter.Queue
	end, failed := r.CreateEndpoint(&waiting)
	r.Complete(failed != nil)
	if failed != nil {
		_ = out.Close() // the guest is gone
		return
	}
	keepAlive(end)
	splice(g.ctx, gonet.NewTCPConn(&waiting, end), out)
}

// keepAlive finds out within two minutes that a guest is gone.
func keepAlive(end tcpip.Endpoint) {
	end.SocketOptions().SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(time.Minute), tcpip.KeepaliveIntervalOption(15*time.Second)
	_ = end.SetSockOpt(&idle) // else it lasts longer
	_ = end.SetSockOpt(&interval)
	_ = end.SetSockOptInt(tcpip.KeepaliveCountOption, 4)
}

// relay decides about the first UDP packet to somewhere. What it does not
// handle is refused as a port that cannot be reached.
func (g *gate) relay(r *udp.ForwarderRequest) (handled bool) {
	from, to := g.sender(r.ID())
	target, may := g.mayReach(g.ctx, from, "udp", to)
	if !may || !g.begin() {
		return false
	}
	opened := g.session(r, target)
	if !opened {
		g.done.Done()
	}
	return opened
}

// session opens a way out for a guest's UDP packets, for as long as some come.
func (g *gate) session(r *udp.ForwarderRequest, target string) (opened bool) {
	select {
	case g.sessions <- struct{}{}:
	default:
		return false
	}
	out, err := g.lan.owner.settings.Dial(g.ctx, "udp", target)
	if err != nil {
		<-g.sessions
		return false
	}
	var waiting waiter.Queue
	end, failed := r.CreateEndpoint(&waiting)
	if failed != nil {
		<-g.sessions
		_ = out.Close() // nothing was sent
		return false
	}
	go func() {
		defer g.done.Done()
		defer func() { <-g.sessions }()
		exchange(g.ctx, gonet.NewUDPConn(&waiting, end), out)
	}()
	return true
}

// dialGuest connects to a guest's port from the gateway.
func (g *gate) dialGuest(ctx context.Context, p *port, number int) (*gonet.TCPConn, error) {
	to := tcpip.FullAddress{NIC: nicID, Addr: toStack(p.address), Port: uint16(number)}
	conn, err := gonet.DialContextTCP(ctx, g.stack, to, netv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", net.JoinHostPort(p.address.String(), strconv.Itoa(number)), err)
	}
	return conn, nil
}

// dialGuestUDP has a guest's port take what is written.
func (g *gate) dialGuestUDP(p *port, number int) (*gonet.UDPConn, error) {
	to := tcpip.FullAddress{NIC: nicID, Addr: toStack(p.address), Port: uint16(number)}
	return gonet.DialUDP(g.stack, nil, &to, netv4.ProtocolNumber)
}
