package planner

import (
	"maps"
	"reflect"
	"slices"

	"github.com/lkup/lkup/spec"
)

// New decides what must be done so that the inventory becomes what the stack
// asks for. The input is not modified.
func New(in Input) *Plan {
	plan := &Plan{}
	selected := selection(in)
	for _, address := range addressesOf(in) {
		plan.Steps = append(plan.Steps, stepFor(in, address, selected))
	}
	plan.Ops = order(plan.Steps, in.Inventory)
	plan.Outputs = outputs(in)
	return plan
}

// addressesOf lists every VM that is wanted or there, sorted.
func addressesOf(in Input) []spec.Address {
	all := make(map[spec.Address]bool, len(in.Stack.VMs)+len(in.Inventory))
	for a := range in.Stack.VMs {
		all[a] = true
	}
	for a := range in.Inventory {
		all[a] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func stepFor(in Input, address spec.Address, selected func(spec.Address) bool) Step {
	var have *Instance
	if i, there := in.Inventory[address]; there {
		have = &i
	}
	vm, isWanted := in.Stack.VMs[address]
	switch {
	case !selected(address) || in.Destroy && have == nil:
		return untouched(address, have)
	case in.Destroy:
		return remove(address, *have, Cause{Kind: CauseDestroy, Detail: "everything is taken down"})
	case !isWanted:
		return decide(address, have, nil)
	}
	return decide(address, have, &wanted{vm: vm, driver: in.Drivers[address], digest: in.Digests[vm.Image]})
}

// untouched is the step of a VM that the plan leaves as it is.
func untouched(address spec.Address, have *Instance) Step {
	step := Step{Address: address, Action: NoOp}
	if have != nil {
		applied := have.Applied
		step.ID, step.Driver, step.Digest, step.Have = have.ID, have.Driver, have.Digest, &applied
	}
	return step
}

// selection says which VMs the targets cover: with what they depend on, or, to
// destroy, with what depends on them.
func selection(in Input) func(spec.Address) bool {
	if len(in.Targets) == 0 {
		return func(spec.Address) bool { return true }
	}
	next := map[spec.Address][]spec.Address{}
	for _, a := range addressesOf(in) {
		for _, dependency := range dependenciesOf(in, a) {
			if in.Destroy {
				next[dependency] = append(next[dependency], a)
			} else {
				next[a] = append(next[a], dependency)
			}
		}
	}
	chosen := map[spec.Address]bool{}
	var choose func(spec.Address)
	choose = func(a spec.Address) {
		if chosen[a] {
			return
		}
		chosen[a] = true
		for _, b := range next[a] {
			choose(b)
		}
	}
	for _, a := range addressesOf(in) {
		for _, target := range in.Targets {
			if target.Covers(a) {
				choose(a)
			}
		}
	}
	return func(a spec.Address) bool { return chosen[a] }
}

func dependenciesOf(in Input, a spec.Address) []spec.Address {
	return slices.Concat(in.Stack.VMs[a].DependsOn, in.Inventory[a].Applied.DependsOn)
}

// outputs lists the outputs that differ. With targets, or to destroy, the
// outputs are left alone until a whole apply.
func outputs(in Input) []OutputChange {
	if in.Destroy || len(in.Targets) > 0 {
		return nil
	}
	names := map[string]bool{}
	for name := range in.Stack.Outputs {
		names[name] = true
	}
	for name := range in.Outputs {
		names[name] = true
	}
	var changes []OutputChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		now, wanted := in.Stack.Outputs[name]
		old, had := in.Outputs[name]
		if wanted && had && now.Known && reflect.DeepEqual(old, now.Value) {
			continue
		}
		changes = append(changes, OutputChange{Name: name, Old: old, New: now.Value, Known: now.Known, Removed: !wanted})
	}
	return changes
}
