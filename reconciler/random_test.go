package reconciler_test

import (
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/lkup/lkup/spec"
)

func pick[T any](random *mathrand.Rand, all ...T) T { return all[random.IntN(len(all))] }

// randomStack has host ports from a number on, each of one machine at a time,
// which they change hands between.
func randomStack(random *mathrand.Rand, from int) *spec.Stack {
	free := random.Perm(8)
	names := []string{"a", "b", "c", "d", "e", "f"}
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var vms []spec.VM
	for _, name := range names[:1+random.IntN(len(names))] {
		v := vm(name, 128*(1+random.IntN(2)))
		randomDependencies(random, &v, vms)
		v.Running = random.IntN(8) != 0
		for guest := range random.IntN(3) {
			if len(free) > 0 {
				v.Ports = append(v.Ports, spec.Port{Guest: guest + 1, Host: from + free[0], Address: "127.0.0.1", Protocol: "tcp"})
				free = free[1:]
			}
		}
		if random.IntN(3) == 0 {
			v.Mounts = []spec.Mount{{Volume: spec.Address("volume." + name), Size: 1}}
		}
		randomLife(random, &v)
		vms = append(vms, v)
	}
	stack := stackOf(vms...)
	stack.Volumes = map[spec.Address]spec.Volume{}
	for _, v := range vms {
		for _, m := range v.Mounts {
			stack.Volumes[m.Volume] = spec.Volume{Address: m.Volume, Name: v.Name, Size: m.Size, Format: "raw"}
		}
	}
	return stack
}

// randomDependencies are on some of the earlier machines, each with a condition
// that it can meet.
func randomDependencies(random *mathrand.Rand, v *spec.VM, earlier []spec.VM) {
	v.Conditions = map[spec.Address]string{}
	for _, dep := range earlier {
		if random.IntN(3) != 0 {
			continue
		}
		v.DependsOn = append(v.DependsOn, dep.Address)
		last := spec.ConditionReady
		if dep.Kind == spec.KindTask {
			last = spec.ConditionCompleted
		}
		if c := pick(random, "", spec.ConditionStarted, last); c != "" {
			v.Conditions[dep.Address] = c
		}
	}
	slices.Sort(v.DependsOn)
}

// The ends of tasks, as kernel command lines that the fake driver obeys.
const (
	taskSucceeds = "fake.exit=0"
	taskFails    = "fake.exit=3"
	taskGoesOn   = "quiet"
)

// randomLife makes some machines tasks - most succeed, some fail, some never
// end - and says of others how they are probed and kept alive.
func randomLife(random *mathrand.Rand, v *spec.VM) {
	if random.IntN(3) == 0 {
		v.Kind, v.Command = spec.KindTask, pick(random, nil, []string{"true"}, []string{"make"})
		v.Cmdline = pick(random, taskSucceeds, taskSucceeds, taskSucceeds, taskFails, taskGoesOn, taskGoesOn)
		if v.Cmdline == taskGoesOn {
			v.Ready.Timeout = 30 * time.Millisecond
		}
		return
	}
	if random.IntN(3) == 0 {
		v.Ready.Log = "stage up"
	}
	if random.IntN(3) == 0 {
		v.Restart = spec.Restart{Policy: pick(random, spec.RestartOnFailure, spec.RestartAlways), Limit: random.IntN(2)}
		v.Health = spec.Health{TCP: pick(random, 0, 1), Interval: time.Minute, Timeout: time.Second, Retries: 3}
	}
}

// mendTasks makes every task of a stack one that succeeds.
func mendTasks(stack *spec.Stack) {
	for a, v := range stack.VMs {
		if v.Kind == spec.KindTask {
			v.Cmdline, v.Ready.Timeout = taskSucceeds, 10*time.Second
			stack.VMs[a] = v
		}
	}
}
