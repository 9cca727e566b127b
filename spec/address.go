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
	if !strings.HasSuffix(string(a), "]") {
		return a
	}
	at, quoted := len(a), false
	for i := 0; i < len(a); i++ {
		switch {
		case quoted && a[i] == '\\':
			i++
		case a[i] == '"':
			quoted = !quoted
		case a[i] == '[' && !quoted:
			at = i
		}
	}
	return a[:at]
}

// Covers reports whether a stands for b: it is b, the block that b is an
// instance of, or a module that b is in.
func (a Address) Covers(b Address) bool {
	rest, found := strings.CutPrefix(string(b), string(a))
	return found && (rest == "" || rest[0] == '[' || rest[0] == '.')
}

// Apply gives an address that a move speaks of its new form. A move to one
// instance is of the block that had none, and not of its other instances.
func (m Moved) Apply(a Address) (Address, bool) {
	rest, found := strings.CutPrefix(string(a), string(m.From))
	if !found || !m.From.Covers(a) || strings.HasPrefix(rest, "[") && m.To != m.To.Block() {
		return a, false
	}
	return m.To + Address(rest), true
}

// Kind is what the address names: vm, volume, image, template or module. A
// devenv is a vm, and what lies in it is what it says: devenv.main.volume.cache
// is a volume.
func (a Address) Kind() string {
	kind := ""
	for _, step := range a.steps() {
		if kind, _, _ = strings.Cut(step, "."); kind != "module" && kind != "devenv" {
			return kind
		}
	}
	if kind == "devenv" {
		return "vm"
	}
	return kind
}

// steps are the kind and name pairs of an address, with their keys:
// module.a["x"].vm.b is module.a["x"] and vm.b.
func (a Address) steps() []string {
	var steps []string
	start, dots, quoted := 0, 0, false
	for i := 0; i < len(a); i++ {
		switch {
		case quoted && a[i] == '\\':
			i++
		case a[i] == '"':
			quoted = !quoted
		case a[i] == '.' && !quoted:
			if dots++; dots%2 == 0 {
				steps, start = append(steps, string(a[start:i])), i+1
			}
		}
	}
	return append(steps, string(a[start:]))
}

// label makes the name of an instance: web-blue, or, in a module, shop-web-blue.
func (e *evaluator) label(n *node, suffix string) string {
	name := n.name + suffix
	var around []string
	for _, step := range n.within.steps() {
		around = append(around, strings.TrimPrefix(step, "module."))
	}
	return hostLabel(strings.Join(append(around, name), "-"))
}

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
