package planner

import (
	"net/netip"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// holders says who holds which host port, or may do so. It notes only ports
// that are among its keys.
type holders map[hostPort]*onPort

type hostPort struct {
	protocol string
	port     int
}

// onPort is who holds a port on which of the host's addresses. An address that
// stands for all of them overlaps every other.
type onPort struct {
	all   []spec.Address
	every []spec.Address // those on an address that stands for all
	at    map[string][]spec.Address
}

// hold notes what an instance frees when it stops: the ports it was given, and
// those it was seen to hold.
func (h holders) hold(i Instance) {
	for _, p := range i.Applied.Ports {
		h.add(i.Address, hostPort{p.Protocol, p.Host}, p.Address)
	}
	for _, p := range i.Status.Ports {
		h.add(i.Address, hostPort{p.Protocol, p.Host}, p.Address)
	}
}

func (h holders) add(by spec.Address, port hostPort, address string) {
	on, matters := h[port]
	if !matters || port.port == 0 {
		return
	}
	if on == nil {
		on = &onPort{at: map[string][]spec.Address{}}
		h[port] = on
	}
	on.all = append(on.all, by)
	plain, every := normal(address)
	if every {
		on.every = append(on.every, by)
		return
	}
	on.at[plain] = append(on.at[plain], by)
}

// of calls f for everyone who holds a port that overlaps the given one; maybe
// more than once.
func (h holders) of(p spec.Port, f func(spec.Address)) {
	on := h[hostPort{p.Protocol, p.Host}]
	if on == nil {
		return
	}
	address, every := normal(p.Address)
	if every {
		each(on.all, f)
		return
	}
	each(on.every, f)
	each(on.at[address], f)
}

func each(all []spec.Address, f func(spec.Address)) {
	for _, a := range all {
		f(a)
	}
}

// normal gives an address one spelling, and says whether it stands for all of
// the host's. 0.0.0.0 and :: overlap each other: the latter takes IPv4 too.
func normal(address string) (plain string, every bool) {
	if address == "" {
		return "", true
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address, false
	}
	ip = ip.Unmap()
	return ip.String(), ip.IsUnspecified()
}

// mayRun reports whether an instance may hold its ports right now.
func mayRun(i Instance) bool {
	return alive(i) || i.Status.State == drivers.Unknown
}
