package planner_test

import (
	"testing"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

func TestARestartThatIsAskedFor(t *testing.T) {
	vm := spec.VM{Address: "vm.a", Name: "a", Image: "image.x", Driver: "qemu", CPUs: 1, Memory: 256, Running: true}
	larger, off := vm, vm
	larger.Memory = 512
	off.Running = false
	stopped := func(v spec.VM) planner.Instance {
		i := running1(v)
		i.Status = drivers.Status{State: drivers.Stopped}
		return i
	}
	tests := []struct {
		name     string
		want     spec.VM
		have     planner.Instance
		replace  []spec.Address
		action   planner.Action
		because  string
		harmless bool
	}{
		{"nothing else changed", vm, running1(vm), nil, planner.Restart, "its restart was asked for", true},
		{"with a live change", larger, running1(vm), nil, planner.Restart, "its restart was asked for", true},
		{"a replacement goes further", vm, running1(vm), []spec.Address{"vm.a"}, planner.Replace, "its replacement was asked for", false},
		{"what is down is started", vm, stopped(vm), nil, planner.Start, "it no longer runs", true},
		{"what shall not run stays down", off, stopped(off), nil, planner.NoOp, "", true},
		{"what shall stop stops", off, running1(vm), nil, planner.Stop, "running true -> false", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := planner.New(planner.Input{
				Stack: &spec.Stack{VMs: map[spec.Address]spec.VM{"vm.a": tt.want}}, Digests: digestsOf("image.x", "a"), Abilities: able,
				Inventory: planner.Inventory{"vm.a": tt.have}, Restart: []spec.Address{"vm.a"}, Replace: tt.replace,
			})
			step := plan.Steps[0]
			if step.Action != tt.action {
				t.Errorf("%s, want %s", step.Action, tt.action)
			}
			var said []string
			found := tt.because == ""
			for _, c := range step.Causes {
				said = append(said, c.Detail)
				found = found || c.Detail == tt.because
			}
			if !found {
				t.Errorf("because %q, want %q among them", said, tt.because)
			}
			if harmless := len(plan.Destroys()) == 0; harmless != tt.harmless {
				t.Errorf("destroys nothing: %t", harmless)
			}
		})
	}
}
