package planner

import (
	"cmp"
	"maps"
	"slices"

	"github.com/lkup/lkup/spec"
)

// move gives the instances the addresses that moved blocks say.
func (p *planning) move() {
	p.moved = map[spec.Address]spec.Address{}
	if p.Stack == nil || len(p.Stack.Moved) == 0 {
		return
	}
	p.Inventory = maps.Clone(p.Inventory)
	for _, m := range p.Stack.Moved {
		for _, from := range union(byText(p.Inventory), nil) {
			i := p.Inventory[spec.Address(from)]
			to, covered := m.Apply(spec.Address(from))
			if !covered {
				continue
			}
			if _, taken := p.Inventory[to]; taken {
				continue // it was moved already, or both are there
			}
			was := spec.Address(from)
			if earlier, again := p.moved[was]; again {
				delete(p.moved, was)
				was = earlier
			}
			delete(p.Inventory, spec.Address(from))
			i.Address = to
			p.Inventory[to], p.moved[to] = i, was
		}
	}
}

// redirect makes instances depend on the new addresses of what moved: that is
// no change of theirs.
func (p *planning) redirect() {
	if len(p.moved) == 0 {
		return
	}
	now := make(map[spec.Address]spec.Address, len(p.moved))
	for to, from := range p.moved {
		now[from] = to
	}
	for a, i := range p.Inventory {
		if !slices.ContainsFunc(i.Applied.DependsOn, func(d spec.Address) bool { return now[d] != "" }) {
			continue
		}
		i.Applied.DependsOn = slices.Clone(i.Applied.DependsOn)
		for n, d := range i.Applied.DependsOn {
			i.Applied.DependsOn[n] = cmp.Or(now[d], d)
		}
		slices.Sort(i.Applied.DependsOn)
		i.Applied.Conditions = redirected(i.Applied.Conditions, now)
		p.Inventory[a] = i
	}
}

// redirected gives conditions their new addresses.
func redirected(conditions map[spec.Address]string, now map[spec.Address]spec.Address) map[spec.Address]string {
	if len(conditions) == 0 {
		return conditions
	}
	out := make(map[spec.Address]string, len(conditions))
	for a, c := range conditions {
		out[cmp.Or(now[a], a)] = c
	}
	return out
}

func byText(all Inventory) map[string]bool {
	names := make(map[string]bool, len(all))
	for a := range all {
		names[string(a)] = true
	}
	return names
}

// triggered gives triggers that are images the digests of what they stand for.
func (p *planning) triggered(vm spec.VM) spec.VM {
	var triggers map[string]string
	for ref := range vm.Lifecycle.Triggers {
		if digest, isImage := p.Digests[spec.Address(ref)]; isImage {
			if triggers == nil {
				triggers = maps.Clone(vm.Lifecycle.Triggers)
			}
			triggers[ref] = digestText(digest)
		}
	}
	if triggers != nil {
		vm.Lifecycle.Triggers = triggers
	}
	return vm
}
