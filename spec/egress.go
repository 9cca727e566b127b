package spec

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// EgressAll is the entry of an egress list that allows everything.
const EgressAll = "all"

// Egress is one entry of a network's egress list, read.
type Egress struct {
	All    bool
	Prefix netip.Prefix // valid if it is addresses
	Host   string       // or a name, in lower case
	Port   int          // 0: every port, which only addresses may have
}

// ParseEgress reads an entry: "all", "api.example.com:443", "192.0.2.7:443",
// "192.0.2.7" or "10.0.0.0/8". problem says what is wrong and what to type.
func ParseEgress(text string) (e Egress, problem string) {
	if text == EgressAll {
		return Egress{All: true}, ""
	}
	if text == "none" {
		return Egress{}, `"none" stands alone and in no list. Write: egress = "none"`
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return Egress{Prefix: prefix.Masked()}, onlyIPv4(prefix.Addr())
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return Egress{Prefix: netip.PrefixFrom(addr, addr.BitLen())}, onlyIPv4(addr)
	}
	host, number, hasPort := strings.Cut(text, ":")
	if !hasPort {
		return Egress{}, fmt.Sprintf("%q is neither HOST:PORT nor addresses. Write, for example: egress = [%q, \"10.0.0.0/8\"]", text, offer(host, "api.example.com")+":443")
	}
	e.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	var err error
	if e.Port, err = strconv.Atoi(number); err != nil || e.Port < 1 || e.Port > mostPort {
		return Egress{}, fmt.Sprintf("%q does not end in a port from 1 to %d. Write, for example: %q", text, mostPort, offer(e.Host, "api.example.com")+":443")
	}
	if addr, err := netip.ParseAddr(e.Host); err == nil {
		return Egress{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Port: e.Port}, onlyIPv4(addr)
	}
	if !validHostName(e.Host) {
		return Egress{}, fmt.Sprintf("%q begins with no host name. Write, for example: \"api.example.com:443\"", text)
	}
	return e, ""
}

func onlyIPv4(a netip.Addr) string {
	if a.Is4() {
		return ""
	}
	return "IPv6 stays inside of a stack, so only IPv4 addresses can be listed."
}

// validHostName reports whether a text can be a host's name in the world.
func validHostName(name string) bool {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !validHostLabel(strings.ReplaceAll(label, "_", "x")) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(name) <= 253 && strings.Trim(last, "0123456789") != "" // else it is a mistyped address
}
