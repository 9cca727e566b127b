package planner

import (
	"fmt"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// drift adds the changes that mend what was changed behind lkup's back, where
// no other change does so already.
func (d *diff) drift(i Instance) {
	if i.Edited {
		d.mend("manifest", "(edited)", "as recorded", price{effect: EffectNone})
	}
	if !i.Created || i.Status.State == drivers.Absent {
		return
	}
	for _, v := range i.Lost {
		for _, m := range d.want.Mounts {
			if m.Volume == v {
				d.mend(m.Attribute(), "(its disk is gone)", mountText(m)+", empty", price{effect: EffectRestart})
			}
		}
	}
	if !alive(i) {
		return
	}
	missing, surplus := portDrift(i)
	p := d.cost("Ports.Host")
	for _, port := range missing {
		d.mend(portAttribute(port), "(not forwarded)", hostPortText(port.Address, port.Host), p)
	}
	for _, port := range surplus {
		d.mend(portAttribute(port), hostPortText(port.Address, port.Host)+" (nobody asked for it)", "", p)
	}
	if balloon(i) {
		d.mend("memory", memoryText(i.Status.Memory), memoryText(d.want.Memory), d.cost("Memory"))
	}
}

// mend adds a change from what was found to what is wanted.
func (d *diff) mend(attribute, found, want string, p price) {
	if slices.ContainsFunc(d.changes, func(c Change) bool { return c.Attribute == attribute }) {
		return
	}
	d.add(Change{Attribute: attribute, Old: found, New: want, Drift: true}, p)
}

// portDrift compares the ports that a running machine forwards with those that
// it was given.
func portDrift(i Instance) (missing, surplus []drivers.Port) {
	given := slices.Clone(i.Own)
	for _, p := range i.Applied.Ports {
		given = append(given, drivers.Port{Address: p.Address, Host: p.Host, Guest: p.Guest, Protocol: p.Protocol})
	}
	for _, p := range given {
		if !slices.Contains(i.Status.Ports, p) {
			missing = append(missing, p)
		}
	}
	for _, p := range i.Status.Ports {
		if !slices.Contains(given, p) {
			surplus = append(surplus, p)
		}
	}
	return missing, surplus
}

func portAttribute(p drivers.Port) string {
	return spec.PortKey{Guest: p.Guest, Protocol: p.Protocol}.Attribute()
}

// balloon reports whether a running machine has other memory than it was given.
func balloon(i Instance) bool {
	return i.Status.Memory != 0 && i.Status.Memory != i.Applied.Memory
}

// drift lists what was changed behind lkup's back to the VMs of the steps.
func (p *planning) drift(steps []Step) []Drift {
	var all []Drift
	for _, s := range steps {
		i, there := p.Inventory[s.Address]
		if !there || !i.Created {
			continue
		}
		for _, detail := range driftOf(i) {
			all = append(all, Drift{Address: s.Address, Detail: detail})
		}
	}
	return all
}

// driftOf says in clauses what differs from what was applied.
func driftOf(i Instance) []string {
	var all []string
	if detail := lifeDrift(i); detail != "" {
		all = append(all, detail)
	}
	for _, v := range i.Lost {
		all = append(all, fmt.Sprintf("the disk of %s is gone", v))
	}
	if i.Edited {
		all = append(all, "its manifest was edited")
	}
	if !alive(i) {
		return all
	}
	missing, surplus := portDrift(i)
	for _, p := range missing {
		all = append(all, fmt.Sprintf("host port %s is no longer forwarded", hostPortText(p.Address, p.Host)))
	}
	for _, p := range surplus {
		all = append(all, fmt.Sprintf("host port %s is forwarded, and nobody asked for it", hostPortText(p.Address, p.Host)))
	}
	if balloon(i) {
		all = append(all, fmt.Sprintf("its guest has %s of memory, and was given %s", memoryText(i.Status.Memory), memoryText(i.Applied.Memory)))
	}
	return all
}

// lifeDrift says whether the machine does not live as it should.
func lifeDrift(i Instance) string {
	state := i.Status.State
	switch {
	case state == drivers.Absent:
		return detailed("its machine is gone", i)
	case state == drivers.Stopped && i.Applied.Running && !i.NeverReady:
		return detailed("it no longer runs", i)
	case state == drivers.Paused:
		return detailed("it is paused", i)
	case alive(i) && !i.Applied.Running:
		return detailed("it runs, and should not", i)
	case state == drivers.Unknown:
		return detailed("it is not known whether it runs", i)
	}
	return ""
}

// refresh plans to record what drifted as if it had been applied: what the
// stack files say of it is then a change like any other.
func (p *planning) refresh() *Plan {
	p.wanted = map[spec.Address]spec.VM{}
	var steps []Step
	addresses := p.selected()
	p.vms = make([]spec.VM, 0, 2*len(addresses))
	for _, a := range addresses {
		if i := p.Inventory[a]; i.Created {
			steps = append(steps, p.refreshed(i))
		}
	}
	plan := &Plan{Steps: steps, Drift: p.drift(steps)}
	plan.Ops = schedule(plan.Steps, p.Inventory)
	return plan
}

func (p *planning) refreshed(i Instance) Step {
	found := i.Applied
	step := Step{Address: i.Address, Action: NoOp, ID: i.ID, Driver: i.Driver, Digest: i.Digest, Have: p.keep(i.Applied)}
	details := driftOf(i)
	switch {
	case len(details) == 0, i.Status.State == drivers.Unknown:
		step.Want = p.keep(found)
		return step
	case i.Status.State == drivers.Absent:
		step.Action = Forget
	default:
		step.Action, step.Effect = Update, EffectNone
		found.Running = alive(i)
		if alive(i) {
			found.Memory = max(i.Status.Memory, 0)
			found.Ports = foundPorts(i)
		}
		if i.Status.Memory == 0 {
			found.Memory = i.Applied.Memory
		}
		step.Want = p.keep(found)
	}
	for _, detail := range details {
		step.Causes = append(step.Causes, Cause{Kind: CauseDrift, Detail: detail})
	}
	return step
}

// foundPorts are the ports that a running machine forwards, as a spec has them.
func foundPorts(i Instance) []spec.Port {
	var all []spec.Port
	for _, p := range i.Applied.Ports {
		if slices.Contains(i.Status.Ports, drivers.Port{Address: p.Address, Host: p.Host, Guest: p.Guest, Protocol: p.Protocol}) {
			all = append(all, p)
		}
	}
	return all
}
