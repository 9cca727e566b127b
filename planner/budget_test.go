package planner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

func TestAPlanStaysWithinTheHost(t *testing.T) {
	vm := func(name string, cpus, memory int) spec.VM {
		return machine(name, func(v *spec.VM) { v.CPUs, v.Memory = cpus, memory })
	}
	stopped := func(v spec.VM) spec.VM { v.Running = false; return v }
	there := func(v spec.VM) planner.Instance {
		i := running1(v)
		i.Status.MemoryMax = v.Memory
		return i
	}
	off := func(v spec.VM) planner.Instance {
		i := there(v)
		i.Status = drivers.Status{State: drivers.Stopped}
		return i
	}
	for name, test := range map[string]struct {
		want   []spec.VM
		have   []planner.Instance
		host   planner.Host
		target []spec.Address
		says   []planner.Refusal
	}{
		"just fits":           {want: []spec.VM{vm("a", 2, 1024), vm("b", 2, 1024)}, host: planner.Host{CPUs: 2, Memory: 2048}},
		"the host is unknown": {want: []spec.VM{vm("a", 200, 1<<30)}},
		"memory, by one MiB": {want: []spec.VM{vm("a", 1, 1024), vm("b", 1, 1025)}, host: planner.Host{CPUs: 2, Memory: 2048}, says: []planner.Refusal{
			{Address: "vm.b", Detail: "the stack's machines would have 2049MiB of memory together, and this computer has 2GiB: vm.b 1025MiB (lkup.hcl:20); vm.a 1GiB (lkup.hcl:10); write less, or go beyond with --allow-overcommit"}}},
		"processors of one": {want: []spec.VM{vm("a", 3, 64), vm("b", 2, 64)}, host: planner.Host{CPUs: 2, Memory: 2048}, says: []planner.Refusal{
			{Address: "vm.a", Detail: "it has cpus = 3 (lkup.hcl:10), and this computer has 2; write 2 or less, or go beyond with --allow-overcommit"}}},
		"what shall not run takes nothing": {want: []spec.VM{stopped(vm("a", 9, 4096)), vm("b", 1, 64)}, host: planner.Host{CPUs: 2, Memory: 2048}},
		"what runs counts": {want: []spec.VM{vm("a", 1, 1500), vm("b", 1, 1000)}, have: []planner.Instance{there(vm("a", 1, 1500))}, host: planner.Host{Memory: 2048}, says: []planner.Refusal{
			{Address: "vm.b", Detail: "the stack's machines would have 2500MiB of memory together, and this computer has 2GiB: vm.a 1500MiB, which runs; vm.b 1000MiB (lkup.hcl:20); write less, or go beyond with --allow-overcommit"}}},
		"what runs and is not looked at counts": {want: []spec.VM{vm("a", 1, 1500), vm("b", 1, 1000)}, have: []planner.Instance{there(vm("a", 1, 1500))}, target: []spec.Address{"vm.b"}, host: planner.Host{Memory: 2048}, says: []planner.Refusal{
			{Address: "vm.b", Detail: "the stack's machines would have 2500MiB of memory together, and this computer has 2GiB: vm.a 1500MiB, which runs; vm.b 1000MiB (lkup.hcl:20); write less, or go beyond with --allow-overcommit"}}},
		"what goes is free":                 {want: []spec.VM{vm("b", 1, 1000)}, have: []planner.Instance{there(vm("a", 1, 1500))}, host: planner.Host{Memory: 2048}},
		"what is there and does not run":    {want: []spec.VM{vm("a", 1, 4096)}, have: []planner.Instance{off(vm("a", 1, 4096))}, host: planner.Host{Memory: 2048}, says: []planner.Refusal{{Address: "vm.a", Detail: "the stack's machines would have 4GiB of memory together, and this computer has 2GiB: vm.a 4GiB (lkup.hcl:10); write less, or go beyond with --allow-overcommit"}}},
		"too much runs, and nothing starts": {want: []spec.VM{vm("a", 8, 4096)}, have: []planner.Instance{there(vm("a", 8, 4096))}, host: planner.Host{CPUs: 1, Memory: 2048}},
	} {
		t.Run(name, func(t *testing.T) {
			stack := &spec.Stack{Name: "s", VMs: map[spec.Address]spec.VM{}}
			chosen := map[spec.Address]string{}
			for _, v := range test.want {
				stack.VMs[v.Address], chosen[v.Address] = v, "qemu"
			}
			now := planner.Inventory{}
			for _, i := range test.have {
				now[i.Address] = i
			}
			plan := planner.New(planner.Input{Stack: stack, Digests: map[spec.Address]sources.Digest{"image.x": digest("a")}, Drivers: chosen, Inventory: now, Host: test.host, Targets: test.target})
			if diff := cmp.Diff(test.says, plan.Refusals); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPortOfAnotherStackIsNamed(t *testing.T) {
	at := func(address string, host int, protocol string) planner.HeldPort {
		return planner.HeldPort{Port: drivers.Port{Address: address, Host: host, Guest: 1, Protocol: protocol}, By: "vm.x of stack other in /elsewhere"}
	}
	web := machine("a", func(v *spec.VM) { v.Ports = []spec.Port{port(80, 8080)} })
	refused := []planner.Refusal{{Address: "vm.a", Detail: `host port 127.0.0.1:8080 (lkup.hcl:10) is the port of vm.x of stack other in /elsewhere; change one "host", or take that down`}}
	for name, test := range map[string]struct {
		elsewhere planner.HeldPort
		runs      bool
		want      []planner.Refusal
	}{
		"the same":                {at("127.0.0.1", 8080, "tcp"), false, refused},
		"on all addresses":        {at("0.0.0.0", 8080, "tcp"), false, refused},
		"another number":          {at("127.0.0.1", 8081, "tcp"), false, nil},
		"another protocol":        {at("127.0.0.1", 8080, "udp"), false, nil},
		"another address":         {at("127.0.0.2", 8080, "tcp"), false, nil},
		"it has it, so it has it": {at("127.0.0.1", 8080, "tcp"), true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			now := planner.Inventory{}
			if test.runs {
				now["vm.a"] = running1(web)
			}
			plan := planner.New(planner.Input{
				Stack: &spec.Stack{Name: "s", VMs: map[spec.Address]spec.VM{"vm.a": web}}, Digests: map[spec.Address]sources.Digest{"image.x": digest("a")},
				Drivers: map[spec.Address]string{"vm.a": "qemu"}, Inventory: now, Elsewhere: []planner.HeldPort{test.elsewhere},
			})
			if diff := cmp.Diff(test.want, plan.Refusals); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
		})
	}
}
