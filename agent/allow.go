// Package agent decides what a program in a machine may reach by way of the
// host, and does that for it: a proxy for the places of an allow list, a broker
// that adds an API's real key to requests for that API alone, and a log of both.
//
// It never resolves a name that is not listed, since a name in a question to DNS
// is a message too, and never connects to an address that it has not checked.
// It knows nothing of machines: it serves the connections that it is given.
package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/lkup/lkup/spec"
)

// Allow is what may be reached: entries as in [spec.ParseEgress].
type Allow []spec.Egress

// ParseAllow reads an allow list.
func ParseAllow(entries []string) (Allow, error) {
	var all Allow
	for _, text := range entries {
		rule, problem := spec.ParseEgress(text)
		if problem != "" {
			return nil, fmt.Errorf("egress: %s", problem)
		}
		all = append(all, rule)
	}
	return all, nil
}

// Resolver finds the addresses of a name.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// refusal is why something may not be reached, for the guest and for the log.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// addresses are those of a host that may be connected to.
func (a Allow) addresses(ctx context.Context, resolver Resolver, host string, port int) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		if address.Zone() != "" {
			return nil, refusal{"addresses of one link alone are not reached"}
		}
		return a.checked(nil, []netip.Addr{address.Unmap()}, host, port)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !a.names(name, port) {
		return nil, refusal{fmt.Sprintf("%s is not in the egress list", net.JoinHostPort(host, fmt.Sprint(port)))}
	}
	found, err := resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("find the address of %s: %w", name, err)
	}
	return a.checked(&name, found, host, port)
}

// names reports whether a name may be asked about.
func (a Allow) names(name string, port int) bool {
	for _, rule := range a {
		if rule.All || rule.Host != "" && rule.Host == name && rule.Port == port {
			return true
		}
	}
	return false
}

// checked leaves out the addresses that may not be connected to. Those that are
// not the world's must be listed themselves: that a name is, does not do.
func (a Allow) checked(name *string, found []netip.Addr, host string, port int) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, address := range found {
		address = address.Unmap()
		switch {
		case a.lists(address, port), World(address) && (name != nil || a.all()):
			all = append(all, address)
		}
	}
	switch {
	case len(all) > 0:
		return all, nil
	case name != nil && len(found) > 0:
		return nil, refusal{fmt.Sprintf("%s is at %s, which is no address of the world: list the address too, if it is meant: %q", host, found[0], net.JoinHostPort(found[0].Unmap().String(), fmt.Sprint(port)))}
	}
	return nil, refusal{fmt.Sprintf("%s is not in the egress list", net.JoinHostPort(host, fmt.Sprint(port)))}
}

func (a Allow) lists(address netip.Addr, port int) bool {
	for _, rule := range a {
		if rule.Prefix.IsValid() && rule.Prefix.Contains(address) && (rule.Port == 0 || rule.Port == port) {
			return true
		}
	}
	return false
}

func (a Allow) all() bool {
	for _, rule := range a {
		if rule.All {
			return true
		}
	}
	return false
}

// notTheWorlds are addresses that lead to this computer, its neighbours, or its
// cloud's own services, or that stand for others which do.
func notTheWorlds() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
		"168.63.129.16/32",                                                               // Azure's metadata
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10", // IPv4 in IPv6, and old local ones
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// World reports whether an address is one of the world: neither this computer's
// nor its neighbours', as far as an address tells.
func World(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, prefix := range notTheWorlds() {
		if prefix.Contains(a) {
			return false
		}
	}
	return true
}
