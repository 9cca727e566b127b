package spec

import (
	"cmp"
	"net/netip"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

const mostPort = 65535

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Guest, b.Guest), cmp.Compare(a.Protocol, b.Protocol))
}

// port reads one port block. Its arguments are all known under the path of the
// whole port, which only its guest and protocol tell.
func (i *instance) port(b *block) {
	p := Port{Address: loopback, Protocol: "tcp"}
	guest, ok := i.portGuest(b)
	if p.Guest = guest; !ok {
		p.Guest = 0
	}
	if v, known := i.known(b, "protocol", "", cty.String); known {
		p.Protocol = v.AsString()
		if p.Protocol != "tcp" && p.Protocol != "udp" {
			i.wrong(b, "protocol", "Unknown protocol", "There are \"tcp\" and \"udp\". Write one of them.")
			ok = false
		}
	}
	path := p.Attribute()
	i.portAddress(b, &p)
	i.portHost(b, &p, path)
	if !ok {
		return
	}
	i.vm.Origins[path] = position(b.at)
	for _, other := range i.vm.Ports {
		if other.Key() == p.Key() {
			i.failed = true
			i.fail(b.at, "Duplicate port", "%s forwards %s port %d of the guest already at %s. Take one of the two out.", i.address, p.Protocol, p.Guest, i.portAt(b, p.Key()))
			return
		}
	}
	i.vm.Ports = append(i.vm.Ports, p)
	i.claims.addPort(claim{vm: i.address, port: p, at: argumentRange(b, "host")})
}

// portAt is where an earlier block of the same VM forwards the port.
func (i *instance) portAt(b *block, _ PortKey) string {
	guest, _ := i.value(b.args["guest"], i.ctx)
	for _, other := range i.node.block.blocks["port"] {
		if other == b {
			break
		}
		if arg := other.args["guest"]; arg != nil {
			if v, ok := i.value(arg, i.ctx); ok && v.RawEquals(guest) {
				return place(other.at)
			}
		}
	}
	return place(b.at)
}

func argumentRange(b *block, name string) hcl.Range {
	if arg := b.args[name]; arg != nil {
		return arg.at
	}
	return b.at
}

func (i *instance) portGuest(b *block) (int, bool) {
	v, ok := i.known(b, "guest", "", cty.Number)
	if !ok {
		return 0, false
	}
	n, ok := wholeNumber(v)
	if !ok || n < 1 || n > mostPort {
		i.wrong(b, "guest", "Invalid port", "A port is a whole number from 1 to %d. Write, for example: guest = 80", mostPort)
		return 0, false
	}
	return n, true
}

func (i *instance) portAddress(b *block, p *Port) {
	v, ok := i.known(b, "address", "", cty.String)
	if !ok {
		return
	}
	ip, err := netip.ParseAddr(v.AsString())
	if err != nil || ip.Zone() != "" {
		hint := `Write "127.0.0.1" for this computer alone, or "0.0.0.0" for everyone who can reach it.`
		i.wrong(b, "address", "Invalid address", "%q is no IP address of this computer. %s", v.AsString(), hint)
		return
	}
	p.Address = ip.String()
}

// portHost reads a number, or "auto" for one that lkup chooses and remembers.
func (i *instance) portHost(b *block, p *Port, path string) {
	v, state := i.raw(b, "host", path)
	if state == later || state == broken {
		return
	}
	if state == absent || v.Type() == cty.String && v.AsString() == "auto" {
		p.Auto = true
		p.Host = i.in.Facts.HostPorts[i.address][p.Key()]
		return
	}
	n, ok := wholeNumber(v)
	if v.Type() == cty.String {
		var err error
		n, err = strconv.Atoi(v.AsString())
		ok = err == nil
	}
	if !ok || n < 1 || n > mostPort {
		i.wrong(b, "host", "Invalid port", "A host port is a whole number from 1 to %d, or \"auto\" for a free one. Write, for example: host = 8080", mostPort)
		return
	}
	p.Host = n
}
