package planner

import (
	"reflect"

	"github.com/lkup/lkup/spec"
)

// outputs lists the outputs that differ from those recorded.
func (p *planning) outputs() []OutputChange {
	if len(p.Targets) > 0 {
		return nil
	}
	var wanted map[string]spec.Output
	if p.Stack != nil && !p.Destroy {
		wanted = p.Stack.Outputs
	}
	names := make(map[string]bool, len(wanted)+len(p.Input.Outputs))
	for name := range wanted {
		names[name] = true
	}
	for name := range p.Input.Outputs {
		names[name] = true
	}
	var all []OutputChange
	for _, name := range union(names, nil) {
		old, there := p.Input.Outputs[name]
		now, stays := wanted[name]
		if there && stays && now.Known && reflect.DeepEqual(old, now.Value) {
			continue
		}
		all = append(all, OutputChange{
			Name: name, Old: old, New: now.Value, Known: now.Known || !stays,
			Added: !there, Removed: !stays, Sensitive: now.Sensitive,
		})
	}
	return all
}
