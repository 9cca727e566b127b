package spec

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Addresses lists the stack's VMs, sorted.
func (s *Stack) Addresses() []Address { return slices.Sorted(maps.Keys(s.VMs)) }

// Block is the address without an instance key: vm.web for vm.web["blue"].
func (a Address) Block() Address {
	if i := strings.IndexByte(string(a), '['); i >= 0 {
		return a[:i]
	}
	return a
}

// Covers reports whether a stands for b: it is b, or the block that b is an
// instance of.
func (a Address) Covers(b Address) bool { return a == b || a == b.Block() }

// Origin is where an attribute was written, or the block if it was not. The
// attribute of one in a group, such as "ready.timeout", falls back to "ready".
func (v VM) Origin(attr string) Pos {
	for {
		if pos, ok := v.Origins[attr]; ok || attr == "" {
			return pos
		}
		attr = attr[:max(0, strings.LastIndexAny(attr, ".["))]
	}
}

// Key identifies the port within its VM.
func (p Port) Key() PortKey { return PortKey{Guest: p.Guest, Protocol: p.Protocol} }

// Attribute is the port's path in Origins, Unknown and Sensitive: port[80],
// or port[53/udp].
func (p Port) Attribute() string { return p.Key().Attribute() }

// Attribute is the port's path in Origins, Unknown and Sensitive.
func (k PortKey) Attribute() string {
	if k.Protocol == "" || k.Protocol == "tcp" {
		return "port[" + strconv.Itoa(k.Guest) + "]"
	}
	return "port[" + strconv.Itoa(k.Guest) + "/" + k.Protocol + "]"
}

// Attribute is the share's path in Origins, Unknown and Sensitive.
func (s Share) Attribute() string { return "share[" + s.Guest + "]" }

// Attribute is the key of a mount in Origins, Unknown and Sensitive.
func (m Mount) Attribute() string { return "mount[" + string(m.Volume) + "]" }

func keyed(block Address, key string) Address {
	quoted := strconv.Quote(key)
	if strings.ContainsAny(key, "$%") {
		quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, "${", "$${"), "%{", "%%{")
	}
	return block + Address("["+quoted+"]")
}

func indexed(block Address, index int) Address {
	return block + Address("["+strconv.Itoa(index)+"]")
}

// hostLabel turns a text into a valid host name: lower case letters, digits
// and inner hyphens. It may come out empty or longer than the 63 that fit.
func hostLabel(text string) string {
	var b strings.Builder
	hyphen := false
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if hyphen && b.Len() > 0 {
				b.WriteByte('-')
			}
			hyphen = false
			b.WriteRune(r)
			continue
		}
		hyphen = true
	}
	return b.String()
}

func validHostLabel(name string) bool {
	return name != "" && len(name) <= 63 && hostLabel(name) == name
}
