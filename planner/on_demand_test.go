package planner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

func TestAMachineOnDemandIsInAPlanOnceItRunsOrIsAskedFor(t *testing.T) {
	stack := &spec.Stack{VMs: map[spec.Address]spec.VM{
		"vm.web":   {Address: "vm.web", Running: true},
		"vm.agent": {Address: "vm.agent", Running: true, Isolated: true},
	}}
	there := func(state drivers.State) planner.Inventory {
		return planner.Inventory{"vm.agent": {Address: "vm.agent", Created: true, Applied: stack.VMs["vm.agent"], Status: drivers.Status{State: state}}}
	}
	for _, tt := range []struct {
		name string
		in   planner.Input
		want []spec.Address
	}{
		{"not there", planner.Input{}, []spec.Address{"vm.web"}},
		{"stopped", planner.Input{Inventory: there(drivers.Stopped)}, []spec.Address{"vm.web"}},
		{"running", planner.Input{Inventory: there(drivers.Running)}, []spec.Address{"vm.agent", "vm.web"}},
		{"nobody knows", planner.Input{Inventory: there(drivers.Unknown)}, []spec.Address{"vm.agent", "vm.web"}},
		{"asked for", planner.Input{Targets: []spec.Address{"vm.agent"}}, []spec.Address{"vm.agent"}},
		{"another is asked for", planner.Input{Targets: []spec.Address{"vm.web"}}, []spec.Address{"vm.web"}},
		{"everything goes", planner.Input{Destroy: true, Inventory: there(drivers.Stopped)}, []spec.Address{"vm.agent"}},
	} {
		tt.in.Stack = stack
		var got []spec.Address
		for _, s := range planner.New(tt.in).Steps {
			got = append(got, s.Address)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
