package planner

import (
	"maps"
	"slices"

	"github.com/lkup/lkup/spec"
)

// New decides what to do. It has no errors: a Stack is complete and checked,
// and whatever the inventory holds, there is a plan for it.
func New(in Input) *Plan {
	p := &planning{Input: in, wanted: map[spec.Address]spec.VM{}}
	if in.Stack != nil && !in.Destroy {
		p.wanted = in.Stack.VMs
	}
	p.move()
	p.redirect()
	p.moveVolumes()
	if in.RefreshOnly {
		return p.refresh()
	}
	plan := &Plan{Steps: p.steps(p.selected())}
	plan.Refusals = slices.Concat(refusals(plan.Steps, p.sizes), p.beyondHost(plan.Steps), p.heldElsewhere(plan.Steps))
	plan.Drift = p.drift(plan.Steps)
	plan.Ops = schedule(plan.Steps, p.Inventory)
	plan.Volumes = p.volumeSteps(plan.Steps)
	plan.Outputs = p.outputs()
	if in.Stack != nil && !in.Destroy {
		plan.Checks = in.Stack.Checks
	}
	return plan
}

// planning is an Input on its way to a Plan.
type planning struct {
	Input
	wanted map[spec.Address]spec.VM
	moved  map[spec.Address]spec.Address // new address -> the one in the state
	// volumes exist, under their new addresses; volumesMoved maps those to the
	// ones in the state.
	volumes      map[spec.Address]bool
	sizes        map[spec.Address]int // of the volumes, in MiB; 0 if unknown
	volumesMoved map[spec.Address]spec.Address
	vms          []spec.VM // those that the steps point to, in one piece
}

// selected lists the VMs that the plan is about, sorted.
func (p *planning) selected() []spec.Address {
	all := make([]spec.Address, 0, max(len(p.wanted), len(p.Inventory)))
	for a, vm := range p.wanted {
		if !vm.OnDemand() || len(p.Targets) > 0 || mayRun(p.Inventory[a]) {
			all = append(all, a)
		}
	}
	for a := range p.Inventory {
		if _, both := p.wanted[a]; !both {
			all = append(all, a)
		}
	}
	if len(p.Targets) > 0 {
		all = slices.Collect(maps.Keys(p.reach(covered(all, p.Targets), p.Destroy)))
	}
	if len(p.Exclude) > 0 {
		left := p.reach(covered(all, p.Exclude), !p.Destroy)
		all = slices.DeleteFunc(all, func(a spec.Address) bool { return left[a] })
	}
	slices.Sort(all)
	return all
}

// covered lists the addresses that one of the given ones covers.
func covered(all, by []spec.Address) []spec.Address {
	var found []spec.Address
	for _, a := range all {
		if slices.ContainsFunc(by, func(b spec.Address) bool { return b.Covers(a) }) {
			found = append(found, a)
		}
	}
	return found
}

// reach adds what the given VMs depend on, or, backwards, what depends on them.
func (p *planning) reach(from []spec.Address, backwards bool) map[spec.Address]bool {
	next := func(a spec.Address) []spec.Address { return p.wanted[a].DependsOn }
	if backwards {
		dependents := map[spec.Address][]spec.Address{}
		note := func(a spec.Address) {
			for _, dep := range p.dependencies(a) {
				dependents[dep] = append(dependents[dep], a)
			}
		}
		for a := range p.wanted {
			note(a)
		}
		for a := range p.Inventory {
			if _, both := p.wanted[a]; !both {
				note(a)
			}
		}
		next = func(a spec.Address) []spec.Address { return dependents[a] }
	}
	reached := map[spec.Address]bool{}
	for len(from) > 0 {
		a := from[len(from)-1]
		from = from[:len(from)-1]
		if !reached[a] {
			reached[a] = true
			from = append(from, next(a)...)
		}
	}
	return reached
}

// dependencies are a VM's as it shall be, or, if it shall not be, as it is.
func (p *planning) dependencies(a spec.Address) []spec.Address {
	if vm, wanted := p.wanted[a]; wanted {
		return vm.DependsOn
	}
	return p.Inventory[a].Applied.DependsOn
}

func (p *planning) steps(addresses []spec.Address) []Step {
	steps := make([]Step, 0, len(addresses))
	p.vms = make([]spec.VM, 0, 2*len(addresses))
	for _, a := range addresses {
		want, wanted := p.wanted[a]
		instance, there := p.Inventory[a]
		switch {
		case wanted && there:
			steps = append(steps, p.change(want, instance))
		case wanted:
			steps = append(steps, p.creation(want))
		case there && p.keeps(a):
			steps = append(steps, p.forgetting(instance))
		case there:
			steps = append(steps, p.deletion(instance))
		}
	}
	return steps
}

// keep gives a VM a place of its own. It must not be called more often than
// there is room for.
func (p *planning) keep(vm spec.VM) *spec.VM {
	p.vms = append(p.vms, vm)
	return &p.vms[len(p.vms)-1]
}
