package drivers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// NIC is a machine's place in one of its stack's networks. Frames go over two
// sockets that carry datagrams: the driver binds one and the switch the other,
// so that either side can be started anew without the other's noticing.
type NIC struct {
	Network string `json:"network"` // the network's address in the stack: network.lan
	Name    string `json:"name"`    // what the network is called in names: lan
	MAC     string `json:"mac"`
	Socket  string `json:"socket"` // path that the driver binds
	Switch  string `json:"switch"` // path that the switch binds

	Subnet  netip.Prefix `json:"subnet"`
	Gateway netip.Addr   `json:"gateway"`
	Address netip.Addr   `json:"address"`
	// Subnet6 and Address6 are for traffic inside of the stack alone.
	Subnet6  netip.Prefix `json:"subnet6"`
	Address6 netip.Addr   `json:"address6"`
	// Default says that the machine's way out leads over this network.
	Default bool `json:"default,omitempty"`

	Aliases    []string `json:"aliases,omitempty"`     // further names of the machine
	DNS        []string `json:"dns,omitempty"`         // who resolves names outside; none: the host's resolvers
	Egress     []string `json:"egress,omitempty"`      // see spec.Network
	HostAccess bool     `json:"host_access,omitempty"` // the host can be reached
}

// NetworkMTU is how much machines in a network may send at once: few large
// frames cost an emulated machine much less than many small ones.
const NetworkMTU = 9000

// Switch carries the frames of a stack's networks, and forwards host ports to
// the machines in them. It does for such machines what a driver's own network
// does for the others. Its methods may be repeated.
type Switch interface {
	// Plug makes the switch carry m.NICs and forward exactly m.Ports. A port
	// that somebody else holds is an error that names the holder.
	Plug(ctx context.Context, m Machine) error
	// Unplug takes the machine off, and gives its ports free.
	Unplug(ctx context.Context, m Machine) error
	// Ports are the host ports that the switch holds for the machine.
	Ports(ctx context.Context, m Machine) ([]Port, error)
}

// PlugFor has the switch carry the machine before start starts it, and takes it
// off again where start fails and gone says of the error that the machine does
// not run; else it may still be on its way up. Machines in no network are only
// started.
func PlugFor(ctx context.Context, s Switch, m Machine, start func() error, gone func(error) bool) error {
	if len(m.NICs) == 0 {
		return start()
	}
	if s == nil {
		return errors.New("this driver was given no switch for the stack's networks")
	}
	if err := s.Plug(ctx, m); err != nil {
		return err
	}
	err := start()
	if err != nil && gone(err) {
		err = errors.Join(err, s.Unplug(ctx, m))
	}
	return err
}

// UnplugEnded takes a machine off that has ended.
func UnplugEnded(ctx context.Context, s Switch, m Machine) error {
	if len(m.NICs) == 0 || s == nil {
		return nil
	}
	return s.Unplug(ctx, m)
}

// Replug tells the switch how a running machine is now, ports included.
func Replug(ctx context.Context, s Switch, m Machine, state State) error {
	if len(m.NICs) == 0 {
		return nil
	}
	if state != Running {
		return fmt.Errorf("%s does not run", m.Address)
	}
	return PlugFor(ctx, s, m, func() error { return nil }, nil)
}

// SwitchedPorts are the host ports that the switch holds for the machine, those
// that were asked for first. None, if nothing answers: then nothing is forwarded.
func SwitchedPorts(ctx context.Context, s Switch, m Machine) []Port {
	if s == nil {
		return nil
	}
	ports, err := s.Ports(ctx, m)
	if err != nil {
		return nil
	}
	return InOrder(ports, m.Ports)
}

// LiveNetworks is what a driver can change of a running machine's networks:
// see Rewirer.
const LiveNetworks Ability = "networks"

// Rewirer changes what a running machine may reach and how it is called.
type Rewirer interface {
	// Rewire makes the networks of the running machine treat it as m.NICs say,
	// whose addresses stay. It may be repeated.
	Rewire(ctx context.Context, m Machine) error
}
