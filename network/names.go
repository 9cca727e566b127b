package network

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	netv4 "gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"github.com/lkup/lkup/spec"
)

const (
	namePort = 53
	// nameTTL is short: a machine that is made anew has another address.
	nameTTL = 5 // seconds
	// idleNames ends a guest's connection over which nothing is asked.
	idleNames = 10 * time.Second
)

// domain is what full names end in.
func (s *Switch) domain() string { return s.settings.Stack + ".internal" }

// serveNames answers questions at the gateway's address, by UDP and TCP.
func (g *gate) serveNames() error {
	at := tcpip.FullAddress{NIC: nicID, Addr: toStack(g.lan.gateway), Port: namePort}
	packets, err := gonet.DialUDP(g.stack, &at, nil, netv4.ProtocolNumber)
	if err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	listener, err := gonet.ListenTCP(g.stack, at, netv4.ProtocolNumber)
	if err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	stop := context.AfterFunc(g.ctx, func() { _, _ = packets.Close(), listener.Close() })
	g.done.Add(2)
	go func() {
		defer g.done.Done()
		defer stop()
		g.answerPackets(packets)
	}()
	go func() {
		defer g.done.Done()
		g.answerConnections(listener)
	}()
	return nil
}

func (g *gate) answerPackets(packets *gonet.UDPConn) {
	content := make([]byte, maxFrame)
	for g.ctx.Err() == nil {
		n, from, err := packets.ReadFrom(content)
		if err != nil {
			continue
		}
		question := slices.Clone(content[:n])
		g.whenFree(func() {
			if answer := g.answer(g.at(from), question, "udp"); answer != nil {
				_, _ = packets.WriteTo(answer, from) // packets may be lost
			}
		})
	}
}

func (g *gate) answerConnections(listener *gonet.TCPListener) {
	for g.ctx.Err() == nil {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		if !g.whenFree(func() { g.answerConnection(conn) }) {
			_ = conn.Close() // there are too many
		}
	}
}

// answerConnection answers one question after the other, each behind its length.
func (g *gate) answerConnection(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(g.ctx, func() { _ = conn.Close() })
	defer stop()
	for {
		_ = conn.SetDeadline(time.Now().Add(idleNames)) // one that is closed cannot be read
		question, err := readMessage(conn)
		if err != nil {
			return
		}
		answer := g.answer(g.at(conn.RemoteAddr()), question, "tcp")
		if answer == nil || writeMessage(conn, answer) != nil {
			return
		}
	}
}

func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	content := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, content)
	return content, err
}

func writeMessage(w io.Writer, content []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(content))), content...))
	return err
}

// whenFree does something beside, unless too much is under way.
func (g *gate) whenFree(do func()) bool {
	select {
	case g.names <- struct{}{}:
	default:
		return false
	}
	if !g.begin() {
		<-g.names
		return false
	}
	go func() {
		defer g.done.Done()
		defer func() { <-g.names }()
		do()
	}()
	return true
}

// at is who has an address in the network; nil if nobody does.
func (g *gate) at(a net.Addr) *port {
	where, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return nil
	}
	return g.lan.table.Load().byIP[where.Addr()]
}

// answer answers one question, or gives nil to what is none.
func (g *gate) answer(from *port, content []byte, protocol string) []byte {
	var parser dnsmessage.Parser
	head, err := parser.Start(content)
	if err != nil || head.Response || from == nil {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return reply(head, nil, dnsmessage.RCodeFormatError, nil)
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	if found, ours := g.lookUp(from, name, question); ours {
		code := dnsmessage.RCodeSuccess
		if found == nil {
			code = dnsmessage.RCodeNameError
		}
		return reply(head, &question, code, found)
	}
	if !g.mayAsk(from, name) {
		g.denyText(from, "dns", name)
		return reply(head, &question, dnsmessage.RCodeRefused, nil)
	}
	answer, err := g.lan.owner.ask(g.ctx, from.nic.Load().DNS, content, protocol)
	if err != nil {
		return reply(head, &question, dnsmessage.RCodeServerFailure, nil)
	}
	g.lan.owner.learn(name, answer)
	return answer
}

// mayAsk reports whether a guest may ask for a name outside: it could tell
// others something by the names it asks for.
func (g *gate) mayAsk(from *port, name string) bool {
	return slices.ContainsFunc(from.nic.Load().Egress, func(text string) bool {
		rule, problem := spec.ParseEgress(text)
		return problem == "" && (rule.All || strings.EqualFold(rule.Host, name))
	})
}

// lookUp finds a name of the stack's own; ours is false for names of the world.
// What it finds is nil if nobody is called so, and empty if there is nothing of
// the kind that was asked for.
func (g *gate) lookUp(from *port, name string, q dnsmessage.Question) (found []dnsmessage.ResourceBody, ours bool) {
	if q.Type == dnsmessage.TypePTR {
		return g.lookUpAddress(name)
	}
	host, within, ours := g.split(name)
	if !ours {
		return nil, false
	}
	if host == "host" && within == "" && from.nic.Load().HostAccess {
		return bodies(q.Type, g.lan.gateway, netip.Addr{}), true
	}
	for _, l := range g.shared(from) {
		if within != "" && within != l.name {
			continue
		}
		machines := l.table.Load().machinesNamed(host)
		if len(machines) == 0 {
			continue
		}
		found = []dnsmessage.ResourceBody{}
		for _, p := range machines {
			found = append(found, bodies(q.Type, p.address, p.address6)...)
		}
		return found, true
	}
	return nil, true
}

// split takes a name apart: db, db.lan, db.shop.internal, db.lan.shop.internal.
// Names without a dot are nobody's outside.
func (g *gate) split(name string) (host, within string, ours bool) {
	rest, full := strings.CutSuffix(name, "."+g.lan.owner.domain())
	host, within, dotted := strings.Cut(rest, ".")
	isLAN := slices.ContainsFunc(*g.lan.owner.shown.Load(), func(l *lan) bool { return l.name == within })
	return host, within, full || !dotted || isLAN
}

// shared are the networks that a machine is in: this one first.
func (g *gate) shared(from *port) []*lan {
	all := []*lan{g.lan}
	for _, l := range *g.lan.owner.shown.Load() {
		if l != g.lan && slices.ContainsFunc(l.table.Load().ports, func(p *port) bool { return p.id == from.id }) {
			all = append(all, l)
		}
	}
	return all
}

// lookUpAddress finds whose address of the network something is.
func (g *gate) lookUpAddress(name string) (found []dnsmessage.ResourceBody, ours bool) {
	rest, ipv4 := strings.CutSuffix(name, ".in-addr.arpa")
	parts := strings.Split(rest, ".")
	slices.Reverse(parts)
	a, err := netip.ParseAddr(strings.Join(parts, "."))
	if !ipv4 || err != nil || !g.lan.owner.inside(a) {
		return nil, false
	}
	p := g.lan.table.Load().byIP[a]
	if p == nil {
		return nil, true
	}
	target, err := dnsmessage.NewName(p.name + "." + g.lan.owner.domain() + ".")
	if err != nil {
		return nil, true
	}
	return []dnsmessage.ResourceBody{&dnsmessage.PTRResource{PTR: target}}, true
}

// bodies are the addresses of the kind that was asked for.
func bodies(kind dnsmessage.Type, a, a6 netip.Addr) []dnsmessage.ResourceBody {
	switch {
	case kind == dnsmessage.TypeA:
		return []dnsmessage.ResourceBody{&dnsmessage.AResource{A: a.As4()}}
	case kind == dnsmessage.TypeAAAA && a6.IsValid():
		return []dnsmessage.ResourceBody{&dnsmessage.AAAAResource{AAAA: a6.As16()}}
	}
	return []dnsmessage.ResourceBody{}
}

// reply is an answer of the switch's own.
func reply(asked dnsmessage.Header, q *dnsmessage.Question, code dnsmessage.RCode, found []dnsmessage.ResourceBody) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{
		ID: asked.ID, Response: true, OpCode: asked.OpCode, RCode: code, Authoritative: code != dnsmessage.RCodeRefused,
		RecursionDesired: asked.RecursionDesired, RecursionAvailable: true,
	}}
	if q != nil {
		m.Questions = []dnsmessage.Question{*q}
		for _, body := range found {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: nameTTL}, Body: body,
			})
		}
	}
	content, err := m.Pack()
	if err != nil {
		return nil
	}
	return content
}
