package network

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// broadcast is every address of a network.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// last is a network's own broadcast address.
func last(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
}

// mayReach decides whether a guest may reach something, and where that is for
// the host. A refusal is noted.
func (g *gate) mayReach(ctx context.Context, from *port, protocol string, to netip.AddrPort) (target string, may bool) {
	if from == nil {
		return "", false
	}
	nic := from.nic.Load()
	addr := to.Addr()
	switch {
	case addr == g.lan.gateway && nic.HostAccess:
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(to.Port()))), true
	case addr == g.lan.gateway, g.lan.owner.inside(addr):
	case g.lan.owner.isHost(addr):
		may = nic.HostAccess
	default:
		may = g.lan.owner.allowed(ctx, nic, protocol, to)
	}
	if !may {
		g.deny(from, protocol, to)
	}
	return to.String(), may
}

// inside reports whether an address is in a network of the stack: only who is
// in that network too may reach it, and goes past the gateway.
func (s *Switch) inside(a netip.Addr) bool {
	return slices.ContainsFunc(*s.shown.Load(), func(l *lan) bool { return l.subnet.Contains(a) })
}

// isHost reports whether an address leads to the host itself, or to what only
// it is meant to reach.
func (s *Switch) isHost(a netip.Addr) bool {
	return a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.As4()[0] == 0 ||
		slices.Contains(s.settings.HostAddresses(), a)
}

// allowed goes by the network's list. Guests may know a name's address from
// before this switch was started, so where it can wait, it looks it up.
func (s *Switch) allowed(ctx context.Context, nic *drivers.NIC, protocol string, to netip.AddrPort) bool {
	for _, text := range nic.Egress {
		rule, problem := spec.ParseEgress(text)
		switch {
		case problem != "":
		case rule.All, rule.Prefix.IsValid() && rule.Prefix.Contains(to.Addr()) && (rule.Port == 0 || rule.Port == int(to.Port())):
			return true
		case rule.Host != "" && rule.Port == int(to.Port()) && s.means(ctx, rule.Host, nic.DNS, to.Addr(), protocol == "tcp"):
			return true
		}
	}
	return false
}

// means reports whether a name stands for an address.
func (s *Switch) means(ctx context.Context, host string, dns []string, a netip.Addr, patient bool) bool {
	if patient && !s.learned.has(host, a, s.settings.Now()) {
		s.resolve(ctx, host, dns)
	}
	return s.learned.has(host, a, s.settings.Now())
}

// learned is what addresses the names have that guests may reach.
type learned struct {
	mu    sync.Mutex
	until map[string]map[netip.Addr]time.Time
}

// remembered is how long an address is good at least: programs keep addresses
// for longer than they should.
const remembered = 10 * time.Minute

// mostLearned bounds the addresses of a name.
const mostLearned = 256

func (l *learned) add(host string, a netip.Addr, ttl time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	host = strings.ToLower(host)
	if l.until == nil {
		l.until = map[string]map[netip.Addr]time.Time{}
	}
	if l.until[host] == nil {
		l.until[host] = map[netip.Addr]time.Time{}
	}
	if len(l.until[host]) >= mostLearned {
		clear(l.until[host])
	}
	l.until[host][a] = now.Add(max(ttl, remembered))
}

func (l *learned) has(host string, a netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.until[strings.ToLower(host)][a])
}

// Denial is something that a guest was refused.
type Denial struct {
	VM       string    `json:"vm"`
	Network  string    `json:"network"`
	Protocol string    `json:"protocol"` // tcp, udp, icmp, or dns for a name
	To       string    `json:"to"`       // address and port, or a name
	Count    int       `json:"count"`
	Last     time.Time `json:"last"`
}

// denials are the newest of each kind.
type denials struct {
	mu  sync.Mutex
	all map[Denial]counted // keys without Count and Last
}

type counted struct {
	count int
	last  time.Time
}

const mostDenials = 200

func (d *denials) add(key Denial, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = map[Denial]counted{}
	}
	if _, known := d.all[key]; !known && len(d.all) >= mostDenials {
		d.forgetOldest()
	}
	d.all[key] = counted{d.all[key].count + 1, now}
}

func (d *denials) forgetOldest() {
	var oldest Denial
	first := true
	for key, c := range d.all {
		if first || c.last.Before(d.all[oldest].last) {
			oldest, first = key, false
		}
	}
	delete(d.all, oldest)
}

// list is newest first.
func (d *denials) list() []Denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Denial, 0, len(d.all))
	for key, c := range d.all {
		key.Count, key.Last = c.count, c.last
		all = append(all, key)
	}
	slices.SortFunc(all, func(a, b Denial) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.VM+a.Protocol+a.To, b.VM+b.Protocol+b.To)
	})
	return all
}

func (g *gate) deny(from *port, protocol string, to netip.AddrPort) {
	where := to.String()
	if to.Port() == 0 {
		where = to.Addr().String()
	}
	g.denyText(from, protocol, where)
}

func (g *gate) denyText(from *port, protocol, to string) {
	g.lan.owner.denied.add(Denial{VM: from.vm, Network: g.lan.address, Protocol: protocol, To: to}, g.lan.owner.settings.Now())
}
