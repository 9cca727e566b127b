package main

import (
	"errors"
	"fmt"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/network"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type networkCmd struct {
	Ls      networkLsCmd      `cmd:"" help:"List the stack's networks."`
	Inspect networkInspectCmd `cmd:"" help:"Show who is in a network, and what was refused there."`
}

type networkLsCmd struct {
	dirFlag
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *networkLsCmd) Run(call *call) error {
	_, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	all := networksOf(known)
	if c.JSON {
		return view.NetworksJSON(call.Out, all)
	}
	return view.NetworksText(call.Out, call.outStyle(), all)
}

type networkInspectCmd struct {
	dirFlag
	Network string `arg:"" help:"The network: lan or network.lan."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (c *networkInspectCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	found, err := oneNetwork(networksOf(known), c.Network)
	if err != nil {
		return err
	}
	for n, m := range found.Machines {
		found.Machines[n].Address6 = addressOf6(reconciler.Machine(known.Instances[m.VM], paths, known.Project), found.Address)
	}
	report, err := network.Client{Path: paths.SwitchSocket()}.Look(call.ctx)
	if err != nil && !errors.Is(err, network.ErrAbsent) {
		return fmt.Errorf("ask the stack's switch: %w", err)
	}
	found.Running = err == nil
	addSeen(&found, report)
	if c.JSON {
		return view.NetworkJSON(call.Out, found)
	}
	return view.NetworkText(call.Out, call.outStyle(), found, call.Now())
}

// addSeen adds what the switch saw.
func addSeen(n *view.Network, report network.Report) {
	for _, p := range report.Machines {
		for i := range n.Machines {
			if m := &n.Machines[i]; p.Network == string(n.Address) && p.VM == string(m.VM) {
				m.Plugged, m.Received, m.Sent, m.Dropped = true, p.Received, p.Sent, p.Dropped
			}
		}
	}
	for _, d := range report.Denied {
		if d.Network == string(n.Address) {
			n.Denied = append(n.Denied, view.Denial{VM: spec.Address(d.VM), Protocol: d.Protocol, To: d.To, Count: d.Count, Last: d.Last})
		}
	}
}

// networksOf are the networks that the stack's machines were given, by address.
func networksOf(known state.State) []view.Network {
	byAddress := map[spec.Address]*view.Network{}
	for _, vm := range sortedKeys(known.Instances) {
		i := known.Instances[vm]
		for _, nic := range i.Applied.Networks {
			n := byAddress[nic.Network]
			if n == nil {
				n = &view.Network{Address: nic.Network, Name: nic.Name, Subnet: nic.Subnet, Egress: nic.Egress, DNS: nic.DNS, HostAccess: nic.HostAccess, Denied: []view.Denial{}}
				byAddress[nic.Network] = n
			}
			n.Machines = append(n.Machines, view.Connected{VM: vm, Name: i.Applied.Name, Aliases: nic.Aliases, Address: nic.Address})
		}
	}
	var all []view.Network
	for _, a := range sortedKeys(byAddress) {
		all = append(all, *byAddress[a])
	}
	return all
}

func oneNetwork(all []view.Network, name string) (view.Network, error) {
	for _, n := range all {
		if name == string(n.Address) || "network."+name == string(n.Address) || name == n.Name {
			return n, nil
		}
	}
	return view.Network{}, fmt.Errorf("no machine of the stack is in a network %q; type lkup network ls to see those that there are", name)
}

func addressOf6(m drivers.Machine, network spec.Address) string {
	for _, nic := range m.NICs {
		if nic.Network == string(network) {
			return nic.Address6.String()
		}
	}
	return ""
}
