package planner_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

func digest(c string) sources.Digest { return sources.Digest("sha256:" + strings.Repeat(c, 64)) }

// randomInput asks for a valid stack of up to eight VMs. Names repeat from
// stack to stack, and dependencies point either way, so that what several
// half-executed plans leave behind can have cycles.
func randomInput(r *rand.Rand) planner.Input {
	in := planner.Input{
		Stack:   &spec.Stack{Name: "s", VMs: map[spec.Address]spec.VM{}, Outputs: map[string]spec.Output{}},
		Digests: map[spec.Address]sources.Digest{},
		Drivers: map[spec.Address]string{},
	}
	if r.IntN(4) > 0 {
		in.Abilities = able
	}
	for _, image := range []spec.Address{"image.x", "image.y"} {
		in.Digests[image] = digest(string("ab"[r.IntN(2)]))
	}
	free := hostPorts(r)
	var before []spec.Address
	for _, n := range r.Perm(8) {
		if r.IntN(4) == 0 {
			continue
		}
		vm := randomVM(r, n, before, &free)
		in.Stack.VMs[vm.Address] = vm
		in.Drivers[vm.Address] = pick(r, "qemu", "qemu", "qemu", "fake")
		before = append(before, vm.Address)
	}
	for _, name := range []string{"p", "q"} {
		if r.IntN(2) == 0 {
			in.Stack.Outputs[name] = spec.Output{Name: name, Value: float64(r.IntN(2)), Known: true}
		}
	}
	return in
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// hostPorts are host ports of which no two overlap, in random order.
func hostPorts(r *rand.Rand) []spec.Port {
	var all []spec.Port
	for _, number := range []int{80, 81, 82, 83} {
		addresses := []string{"127.0.0.1", "127.0.0.2", "::1"}
		if r.IntN(3) == 0 {
			addresses = []string{pick(r, "0.0.0.0", "::")}
		}
		for _, a := range addresses {
			all = append(all, spec.Port{Host: number, Address: a, Protocol: "tcp"})
		}
		all = append(all, spec.Port{Host: number, Address: "0.0.0.0", Protocol: "udp"})
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func randomVM(r *rand.Rand, n int, before []spec.Address, free *[]spec.Port) spec.VM {
	name := string(rune('a' + n))
	vm := spec.VM{
		Address: spec.Address("vm." + name),
		Name:    name + pick(r, "", "", "", "2"),
		Image:   pick[spec.Address](r, "image.x", "image.x", "image.y"),
		Driver:  "auto",
		CPUs:    1 + r.IntN(2)/2,
		Memory:  pick(r, 256, 256, 512),
		Running: r.IntN(6) > 0,
		Cmdline: pick(r, "", "", "quiet"),
		Ready:   spec.Ready{Timeout: time.Duration(1+r.IntN(2)) * time.Minute},
		Origins: map[string]spec.Pos{"": {File: "lkup.hcl", Line: n + 1, Column: 1}},
	}
	if r.IntN(3) == 0 {
		vm.Env = map[string]string{"KEY": pick(r, "", "1", "2"), "LOG": "debug"}
		if r.IntN(4) == 0 {
			vm.Sensitive = []string{"env.KEY"}
		}
	}
	if r.IntN(4) == 0 {
		vm.Shares = []spec.Share{{Host: pick(r, ".", "./site"), Guest: "/srv", ReadOnly: r.IntN(2) == 0}}
	}
	for guest := 1; guest <= r.IntN(4); guest++ {
		vm.Ports = append(vm.Ports, randomPort(r, n, guest, free))
	}
	if r.IntN(4) == 0 {
		nic := spec.NIC{Network: "network.lan", Name: "lan", Subnet: "10.9.0.0/24", Address: fmt.Sprintf("10.9.0.%d", n+2), Auto: true, Default: true}
		nic.Egress = pick(r, nil, []string{"all"}, []string{"192.0.2.1:80"})
		nic.Aliases = pick(r, nil, nil, []string{"other-" + name})
		vm.Networks = []spec.NIC{nic}
	}
	for _, dep := range before {
		if r.IntN(3) == 0 {
			vm.DependsOn = append(vm.DependsOn, dep)
		}
	}
	slices.Sort(vm.DependsOn)
	randomLife(r, &vm)
	return vm
}

// randomLife makes some machines tasks, and says of others how they are kept
// alive, and of each what it waits for.
func randomLife(r *rand.Rand, vm *spec.VM) {
	if r.IntN(5) == 0 {
		vm.Kind, vm.Command = spec.KindTask, pick(r, nil, []string{"true"}, []string{"make"})
	} else if r.IntN(4) == 0 {
		vm.Restart = spec.Restart{Policy: pick(r, spec.RestartOnFailure, spec.RestartAlways), Limit: r.IntN(2)}
		vm.Health = spec.Health{TCP: pick(r, 0, 80), Interval: time.Minute, Timeout: time.Second, Retries: 3}
	}
	for _, dep := range vm.DependsOn {
		if vm.Conditions == nil {
			vm.Conditions = map[spec.Address]string{}
		}
		if c := pick(r, "", spec.ConditionStarted, spec.ConditionReady, spec.ConditionCompleted); c != "" {
			vm.Conditions[dep] = c
		}
	}
}

func randomPort(r *rand.Rand, n, guest int, free *[]spec.Port) spec.Port {
	if r.IntN(3) == 0 || len(*free) == 0 {
		host := pick(r, 0, 30000+n*10+guest)
		return spec.Port{Guest: guest, Host: host, Auto: true, Address: "127.0.0.1", Protocol: "tcp"}
	}
	p := (*free)[0]
	*free = (*free)[1:]
	p.Guest = guest
	return p
}

// copied is an equal input whose maps were made in another order.
func copied(in planner.Input) planner.Input {
	out := in
	out.Stack = &spec.Stack{Name: in.Stack.Name, VMs: reversed(in.Stack.VMs), Outputs: reversed(in.Stack.Outputs)}
	out.Inventory = reversed(in.Inventory)
	out.Digests, out.Drivers = reversed(in.Digests), reversed(in.Drivers)
	return out
}

func reversed[K ~string, V any](m map[K]V) map[K]V {
	out := map[K]V{}
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(m))) {
		out[k] = m[k]
	}
	return out
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x1d)) }

func newID(n int) string { return fmt.Sprintf("%08x", n) }
