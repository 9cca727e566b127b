package drivers

import (
	"context"
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

// LiveNetworks is what a driver can change of a running machine's networks:
// see Rewirer.
const LiveNetworks Ability = "networks"

// Rewirer changes what a running machine may reach and how it is called.
type Rewirer interface {
	// Rewire makes the networks of the running machine treat it as m.NICs say,
	// whose addresses stay. It may be repeated.
	Rewire(ctx context.Context, m Machine) error
}
