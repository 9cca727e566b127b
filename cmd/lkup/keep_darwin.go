package main

import (
	"net/netip"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/hyperkit"
	"github.com/lkup/lkup/network"
)

func (c *keepCmd) Run(call *call) error {
	return hyperkit.Keep(call.In, call.Out, &ownSwitch{now: call.Now})
}

// ownSwitch is a switch with one machine. It looks to its guest as QEMU's own
// network does: the same addresses, the way out open, and the host in reach.
type ownSwitch struct {
	now func() time.Time
	all *network.Switch
}

func (s *ownSwitch) Plug(m drivers.Machine, ours, theirs string) error {
	s.all = network.New(network.Settings{Stack: m.Name, Now: s.now})
	return s.all.Plug(network.Machine{
		ID: m.ID, Address: string(m.Address), Name: m.Name, Ports: m.Ports,
		NICs: []drivers.NIC{{
			Network: "network.own", Name: "own", MAC: m.MAC, Socket: ours, Switch: theirs,
			Subnet: netip.MustParsePrefix("10.0.2.0/24"), Gateway: netip.MustParseAddr("10.0.2.2"), Address: netip.MustParseAddr("10.0.2.15"),
			Subnet6: netip.MustParsePrefix("fd00::/64"), Address6: netip.MustParseAddr("fd00::15"),
			Default: true, Egress: []string{"all"}, HostAccess: true,
		}},
	})
}

func (s *ownSwitch) Close() { s.all.Close() }
