package network

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// askLimit bounds one question to one resolver.
const askLimit = 3 * time.Second

// ask passes a question on to the resolvers, one after the other.
func (s *Switch) ask(ctx context.Context, given []string, question []byte, protocol string) ([]byte, error) {
	resolvers := given
	if len(resolvers) == 0 {
		resolvers = s.settings.Resolvers()
	}
	err := errors.New("the host has no resolver")
	for _, where := range resolvers {
		var answer []byte
		if answer, err = exchangeNames(ctx, withPort(where), question, protocol); err == nil {
			return answer, nil
		}
	}
	return nil, err
}

// withPort adds the port for names where none is given.
func withPort(where string) string {
	if _, err := netip.ParseAddr(where); err == nil {
		return net.JoinHostPort(where, "53")
	}
	return where
}

func exchangeNames(ctx context.Context, where string, question []byte, protocol string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, protocol, where)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) }) // it is open
	defer stop()
	if protocol == "tcp" {
		if err := writeMessage(conn, question); err != nil {
			return nil, err
		}
		answer, err := readMessage(conn)
		if err == nil && !answers(answer, question) {
			err = errors.New("the resolver answered something else")
		}
		return answer, err
	}
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	content := make([]byte, 64<<10)
	for {
		n, err := conn.Read(content)
		if err != nil {
			return nil, err
		}
		if answers(content[:n], question) {
			return content[:n], nil
		}
	}
}

// answers reports whether a message is the answer to a question, and not
// somebody's guess.
func answers(answer, question []byte) bool {
	var a, q dnsmessage.Parser
	gave, errA := a.Start(answer)
	asked, errQ := q.Start(question)
	if errA != nil || errQ != nil || !gave.Response || gave.ID != asked.ID {
		return false
	}
	was, errQ := q.Question()
	about, errA := a.Question()
	return errQ == nil && errA == nil && was.Type == about.Type && strings.EqualFold(was.Name.String(), about.Name.String())
}

// learn notes the addresses in an answer, for lists that name the name.
func (s *Switch) learn(name string, answer []byte) {
	var m dnsmessage.Message
	if m.Unpack(answer) != nil {
		return
	}
	for _, r := range m.Answers {
		if a, isA := r.Body.(*dnsmessage.AResource); isA {
			s.learned.add(name, netip.AddrFrom4(a.A), time.Duration(r.Header.TTL)*time.Second, s.settings.Now())
		}
	}
}

// resolve asks for a name's addresses, which then are learned.
func (s *Switch) resolve(ctx context.Context, host string, given []string) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	if err != nil {
		return
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(s.settings.Now().UnixNano()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	question, err := m.Pack()
	if err != nil {
		return
	}
	if answer, err := s.ask(ctx, given, question, "udp"); err == nil {
		s.learn(host, answer)
	}
}

// hostResolvers reads /etc/resolv.conf, each time: computers move between
// networks.
func hostResolvers() []string {
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	defer f.Close()
	var all []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "nameserver" {
			all = append(all, net.JoinHostPort(words[1], "53"))
		}
	}
	return all
}
