package planner_test

import (
	"fmt"
	"testing"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// large is n VMs in chains of ten, with ports, env and a share, of which every
// hundredth has changed since it was applied. All have one host port, each on
// an address of its own.
func large(n int, there bool) planner.Input {
	in := scenario{}.input()
	for i := range n {
		vm := machine("a", func(vm *spec.VM) {
			p := port(80, 8080)
			p.Address = fmt.Sprintf("127.%d.%d.1", i/250, i%250)
			vm.Ports = []spec.Port{p, auto(22, 20000+i)}
			vm.Env = map[string]string{"A": "1", "B": "2"}
			vm.Shares = []spec.Share{{Host: ".", Guest: "/srv"}}
		})
		vm.Address, vm.Name = spec.Address(fmt.Sprintf("vm.a[%d]", i)), fmt.Sprintf("a-%d", i)
		if i%10 > 0 {
			vm.DependsOn = []spec.Address{spec.Address(fmt.Sprintf("vm.a[%d]", i-1))}
		}
		if there {
			in.Inventory[vm.Address] = running1(vm)
		}
		if i%100 == 0 {
			vm.Memory = 512
		}
		in.Stack.VMs[vm.Address], in.Drivers[vm.Address] = vm, "qemu"
	}
	return in
}

func TestLargePlansStaySmall(t *testing.T) {
	const n = 10_000
	plan := planner.New(large(n, false))
	edges := 0
	for _, op := range plan.Ops {
		edges += len(op.After)
	}
	if len(plan.Ops) != n || edges != n-n/10 {
		t.Errorf("%d ops and %d edges for %d VMs in chains of ten", len(plan.Ops), edges, n)
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		for name, there := range map[string]bool{"new": false, "there": true} {
			in := large(n, there)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					planner.New(in)
				}
			})
		}
	}
}
