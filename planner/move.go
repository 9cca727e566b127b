package planner

import (
	"maps"

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
