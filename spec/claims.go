package spec

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
)

// claims are what VMs take of the host or of each other's names, to find two
// that want the same.
type claims struct {
	names   []nameClaim
	ports   []claim
	volumes []volumeClaim
	// networks and nics are for connectAll.
	networks []networkClaim
	nics     []nicClaim
	// written says where the arguments of networks were.
	written map[Address]map[string]hcl.Range
	// lost are auto ports of earlier runs that a stack file now wants by number.
	lost []claim
}

type nameClaim struct {
	name string
	vm   Address
	at   hcl.Range
}

type claim struct {
	vm   Address
	port Port
	at   hcl.Range
}

// volumeClaim is a VM that has a volume.
type volumeClaim struct {
	volume, vm Address
	readOnly   bool
	at         hcl.Range
}

func (c *claims) addVolume(v volumeClaim) { c.volumes = append(c.volumes, v) }

// settleVolumes reports a volume that one VM writes and another has: two guests
// that know nothing of each other would ruin what lies there.
func (c *claims) settleVolumes(rep *report) {
	first := map[Address]volumeClaim{}
	for _, v := range c.volumes {
		other, taken := first[v.volume]
		if !taken {
			first[v.volume] = v
			continue
		}
		if !v.readOnly || !other.readOnly {
			rep.fail(v.at, "Volume used twice", "%s has %s already (%s), and two guests that write one disk ruin it. Give each its own volume, or write read_only = true in both.", other.vm, v.volume, place(other.at))
		}
	}
}

// forget drops the claims of VMs that are switched off.
func (c *claims) forget(off map[Address]hcl.Range) {
	isOff := func(vm Address) bool { _, found := off[vm]; return found }
	c.names = slices.DeleteFunc(c.names, func(n nameClaim) bool { return isOff(n.vm) })
	c.ports = slices.DeleteFunc(c.ports, func(p claim) bool { return isOff(p.vm) })
	c.volumes = slices.DeleteFunc(c.volumes, func(v volumeClaim) bool { return isOff(v.vm) })
}

func (c *claims) addName(name string, vm Address, at hcl.Range) {
	c.names = append(c.names, nameClaim{name, vm, at})
}

func (c *claims) addPort(p claim) {
	if p.port.Host != 0 {
		c.ports = append(c.ports, p)
	}
}

// settle reports every clash, at the later of the two lines.
func (c *claims) settle(rep *report) {
	c.settleVolumes(rep)
	slices.SortStableFunc(c.names, func(a, b nameClaim) int { return compareRanges(&a.at, &b.at) })
	slices.SortStableFunc(c.ports, func(a, b claim) int { return compareRanges(&a.at, &b.at) })
	taken := make(map[string]*nameClaim, len(c.names))
	for i := range c.names {
		n := &c.names[i]
		if first, ok := taken[n.name]; ok {
			rep.fail(n.at, "Duplicate hostname", "%s and %s (%s) would both be called %q. Give one of them another name: hostname = ...", n.vm, first.vm, place(first.at), n.name)
			continue
		}
		taken[n.name] = n
	}
	c.settlePorts(rep)
}

type hostPort struct {
	number   int
	protocol string
}

// settlePorts looks at fixed ports first, so that a remembered one gives way.
func (c *claims) settlePorts(rep *report) {
	held := map[hostPort][]claim{}
	for _, auto := range []bool{false, true} {
		for _, p := range c.ports {
			if p.port.Auto != auto {
				continue
			}
			key := hostPort{p.port.Host, p.port.Protocol}
			holder, clash := clashing(held[key], p)
			switch {
			case !clash:
				held[key] = append(held[key], p)
			case auto:
				c.lost = append(c.lost, p)
			default:
				reportClash(p, holder, rep)
			}
		}
	}
}

func clashing(holders []claim, p claim) (claim, bool) {
	for _, holder := range holders {
		if overlap(holder.port.Address, p.port.Address) {
			return holder, true
		}
	}
	return claim{}, false
}

func reportClash(p, holder claim, rep *report) {
	number := strconv.Itoa(p.port.Host)
	if p.vm == holder.vm {
		rep.fail(p.at, "Host port used twice", "%s forwards host port %s (%s) already at %s. Give one of them another number, or: host = \"auto\"", p.vm, number, p.port.Protocol, place(holder.at))
		return
	}
	rep.fail(p.at, "Host port used twice", "%s and %s (%s) both want host port %s (%s). Give one of them another number, or: host = \"auto\"", p.vm, holder.vm, place(holder.at), number, p.port.Protocol)
}

// overlap says that two addresses of the host cannot serve one port each: they
// are the same, or one stands for all.
func overlap(a, b string) bool {
	if a == b {
		return true
	}
	for _, address := range []string{a, b} {
		if ip, err := netip.ParseAddr(address); err == nil && ip.IsUnspecified() {
			return true
		}
	}
	return false
}
