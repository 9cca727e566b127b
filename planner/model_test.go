package planner_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// world is a small model of a host with its state: enough to execute plans and
// to see what goes wrong on the way.
type world struct {
	machines map[spec.Address]*planner.Instance
	made     map[spec.Address]sources.Digest // what disks were really made from
	outputs  map[string]any
	ids      int
	broken   []string              // laws, as sentences
	stopped  map[spec.Address]bool // by the plan under way
	begun    map[spec.Address]bool // likewise: its process runs, or ran
}

func newWorld() *world {
	return &world{
		machines: map[spec.Address]*planner.Instance{},
		made:     map[spec.Address]sources.Digest{},
		outputs:  map[string]any{},
	}
}

func (w *world) blame(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// observe completes an input with what is there.
func (w *world) observe(in planner.Input) planner.Input {
	in.Inventory = planner.Inventory{}
	for a, m := range w.machines {
		seen := *m
		if seen.Status.State != drivers.Stopped || seen.Applied.Kind != spec.KindTask {
			seen.Exit = nil // as reconciler.Observe has it
		}
		in.Inventory[a] = seen
	}
	in.Outputs = maps.Clone(w.outputs)
	return in
}

func running(m *planner.Instance) bool {
	return m.Status.State == drivers.Running || m.Status.State == drivers.Paused
}

// execute runs ops in a random order that the plan allows, several at once,
// effect by effect, and stops after the given number of effects; never, if
// that is negative. It reports whether everything was done.
func (w *world) execute(r *rand.Rand, plan *planner.Plan, effects int) bool {
	waiting := make([]int, len(plan.Ops))
	for i := range waiting {
		waiting[i] = i
	}
	w.stopped, w.begun = map[spec.Address]bool{}, map[spec.Address]bool{}
	done := map[int]bool{}
	under := map[int][]func(){} // op -> effects left
	for ; effects != 0; effects-- {
		var allowed []int
		for _, i := range waiting {
			early := func(b int) bool { return !done[b] && !w.begun[plan.Steps[plan.Ops[b].Step].Address] }
			if !slices.ContainsFunc(plan.Ops[i].After, func(b int) bool { return !done[b] }) && !slices.ContainsFunc(plan.Ops[i].AfterStart, early) {
				allowed = append(allowed, i)
			}
		}
		choices := slices.Concat(allowed, slices.Sorted(maps.Keys(under)))
		if len(choices) == 0 {
			break
		}
		i := choices[r.IntN(len(choices))]
		if _, begun := under[i]; !begun {
			under[i] = w.effects(plan, plan.Ops[i])
			waiting = slices.DeleteFunc(waiting, func(n int) bool { return n == i })
		}
		under[i][0]()
		if under[i] = under[i][1:]; len(under[i]) == 0 {
			delete(under, i)
			done[i] = true
		}
	}
	if len(done) < len(plan.Ops) {
		return false
	}
	for _, o := range plan.Outputs {
		w.outputs[o.Name] = o.New
		if o.Removed {
			delete(w.outputs, o.Name)
		}
	}
	return true
}

// effects are what an op does, one indivisible effect at a time.
func (w *world) effects(plan *planner.Plan, op planner.Op) []func() {
	step := plan.Steps[op.Step]
	a := step.Address
	switch op.Phase {
	case planner.Record:
		if step.Action == planner.Forget {
			return []func(){func() { delete(w.machines, a) }}
		}
		return []func(){func() { w.adopt(step) }}
	case planner.Down:
		if step.Live {
			return []func(){func() { w.withdraw(step) }}
		}
		all := []func(){func() { w.stop(plan, step) }}
		switch step.Action {
		case planner.Replace, planner.Delete:
			return append(all,
				func() { w.machines[a].Status = drivers.Status{State: drivers.Absent} },
				func() { delete(w.machines, a) })
		case planner.Stop:
			return append(all, func() { w.adopt(step) })
		}
		return all
	case planner.Up:
		return w.up(plan, step)
	}
	panic("no phase " + op.Phase)
}

func (w *world) up(plan *planner.Plan, step planner.Step) []func() {
	a := step.Address
	m := w.machines[a]
	step.Want = w.choose(*step.Want)
	if m != nil && m.Status.State == drivers.Running && m.Created {
		return []func(){func() { w.change(step) }, func() { w.begun[a] = true }, func() { w.adopt(step); w.prove(step) }}
	}
	all := []func(){
		func() {
			if w.machines[a] == nil {
				w.ids++
				w.machines[a] = &planner.Instance{Address: a, ID: newID(w.ids), Status: drivers.Status{State: drivers.Absent}}
			}
			w.adopt(step)
			w.machines[a].Exit = nil
		},
		func() {
			if w.machines[a].Status.State == drivers.Absent {
				w.machines[a].Status.State = drivers.Stopped
				w.made[a] = w.machines[a].Digest
			}
		},
		func() { w.machines[a].Created = true },
	}
	if step.Want.Running {
		all = append(all, func() { w.start(plan, step) }, func() { w.prove(step) })
	}
	return all
}

// adopt records what is wanted.
func (w *world) adopt(step planner.Step) {
	m := w.machines[step.Address]
	m.Applied, m.Driver, m.Digest = *w.choose(*step.Want), step.Driver, step.Digest
}

// choose chooses ports that were left open.
func (w *world) choose(vm spec.VM) *spec.VM {
	vm.Ports = slices.Clone(vm.Ports)
	for i, p := range vm.Ports {
		if p.Host == 0 {
			w.ids++
			vm.Ports[i].Host = 40000 + w.ids
		}
	}
	return &vm
}

func (w *world) start(plan *planner.Plan, step planner.Step) {
	m := w.machines[step.Address]
	if m.Status.State == drivers.Unknown {
		w.blame("started %s, of which nobody knows whether it runs", m.Address)
	}
	for _, dep := range plan.Steps {
		if !slices.Contains(step.Want.DependsOn, dep.Address) || dep.Want != nil && !dep.Want.Running {
			continue
		}
		if d := w.machines[dep.Address]; d == nil || !w.meets(d, step.Want.Conditions[dep.Address]) {
			w.blame("started %s before %s, on which it depends, was up", m.Address, dep.Address)
		}
	}
	w.run(m)
	w.begun[m.Address] = true
}

// meets reports whether a machine is what one that depends on it waits for.
func (w *world) meets(d *planner.Instance, condition string) bool {
	switch {
	case condition == spec.ConditionStarted && w.begun[d.Address]:
		return true
	case d.Applied.Kind == spec.KindTask:
		return d.Status.State == drivers.Stopped && d.Exit != nil && *d.Exit == 0 || condition == spec.ConditionStarted && running(d)
	case condition == spec.ConditionStarted:
		return d.Status.State == drivers.Running
	}
	return d.Status.State == drivers.Running && d.Proven
}

// run makes a machine hold its ports.
func (w *world) run(m *planner.Instance) {
	held := heldPorts(m.Applied)
	if by := w.collision(m.Address, held); by != "" {
		w.blame("%s and %s hold one host port", m.Address, by)
	}
	m.Status = drivers.Status{State: drivers.Running, Ports: held, Memory: m.Applied.Memory, MemoryMax: m.Applied.Memory}
	m.Proven = false
}

// withdraw takes away the ports that go, of a machine that runs on.
func (w *world) withdraw(step planner.Step) {
	m, kept := w.machines[step.Address], heldPorts(*step.Want)
	if !running(m) {
		w.blame("%s does not run, and was to be changed live", m.Address)
	}
	m.Status.Ports = slices.DeleteFunc(slices.Clone(m.Status.Ports), func(p drivers.Port) bool { return !slices.Contains(kept, p) })
}

// change makes a running machine what is wanted, in place.
func (w *world) change(step planner.Step) {
	m := w.machines[step.Address]
	if !step.Live {
		return // it is only proved
	}
	if step.Want.Memory > m.Status.MemoryMax || step.Want.CPUs != m.Applied.CPUs {
		w.blame("%s cannot become that while it runs", m.Address)
	}
	m.Status.Memory, m.Status.Ports = step.Want.Memory, heldPorts(*step.Want)
	if by := w.collision(m.Address, m.Status.Ports); by != "" {
		w.blame("%s and %s hold one host port, by a live change", m.Address, by)
	}
}

func heldPorts(vm spec.VM) []drivers.Port {
	var held []drivers.Port
	for _, p := range vm.Ports {
		held = append(held, drivers.Port{Address: p.Address, Host: p.Host, Guest: p.Guest, Protocol: p.Protocol})
	}
	return held
}

func (w *world) collision(self spec.Address, ports []drivers.Port) spec.Address {
	for a, m := range w.machines {
		for _, p := range m.Status.Ports {
			if a != self && slices.ContainsFunc(ports, func(q drivers.Port) bool { return overlap(p, q) }) {
				return a
			}
		}
	}
	return ""
}

// overlap says it in other words than the planner does.
func overlap(a, b drivers.Port) bool {
	if a.Host != b.Host || a.Protocol != b.Protocol {
		return false
	}
	x, y := netip.MustParseAddr(a.Address), netip.MustParseAddr(b.Address)
	return x == y || x.IsUnspecified() || y.IsUnspecified()
}

func (w *world) prove(step planner.Step) {
	m := w.machines[step.Address]
	if m.Status.State != drivers.Running {
		w.blame("%s was not running when it was to be proved", m.Address)
	}
	if m.Applied.Kind == spec.KindTask { // to prove it is to see it end
		m.Status = drivers.Status{State: drivers.Stopped}
		m.Exit = new(int)
		return
	}
	m.Proven = true
}

func (w *world) stop(plan *planner.Plan, step planner.Step) {
	m := w.machines[step.Address]
	if m.Status.State == drivers.Unknown {
		w.blame("stopped %s, of which nobody knows whether it runs", m.Address)
	}
	for _, other := range plan.Steps {
		d := w.machines[other.Address]
		if d == nil || !running(d) || !goesDown(other) || w.stopped[other.Address] || !slices.Contains(other.Have.DependsOn, step.Address) {
			continue
		}
		if !reaches(plan, step.Address, other.Address) { // else there is no right order
			w.blame("stopped %s before %s, which depends on it", step.Address, other.Address)
		}
	}
	w.stopped[step.Address] = true
	if m.Status.State != drivers.Absent {
		m.Status = drivers.Status{State: drivers.Stopped}
	}
	m.Proven = false
}

// goesDown reports whether a step ends the machine's process.
func goesDown(s planner.Step) bool {
	switch s.Action {
	case planner.Restart, planner.Replace, planner.Stop, planner.Delete:
		return true
	}
	return false
}

// reaches reports whether what was applied says that from depends on to,
// through VMs that go down.
func reaches(plan *planner.Plan, from, to spec.Address) bool {
	depends := map[spec.Address][]spec.Address{}
	for _, s := range plan.Steps {
		if goesDown(s) {
			depends[s.Address] = s.Have.DependsOn
		}
	}
	seen := map[spec.Address]bool{}
	queue := []spec.Address{from}
	for len(queue) > 0 {
		a := queue[0]
		queue = queue[1:]
		for _, dep := range depends[a] {
			if dep == to {
				return true
			}
			if _, down := depends[dep]; down && !seen[dep] {
				seen[dep] = true
				queue = append(queue, dep)
			}
		}
	}
	return false
}

// drift changes something behind lkup's back.
func (w *world) drift(r *rand.Rand) {
	all := slices.Sorted(maps.Keys(w.machines))
	if len(all) == 0 {
		return
	}
	m := w.machines[all[r.IntN(len(all))]]
	switch r.IntN(9) {
	case 8: // a task that failed, or of which nothing is known
		if m.Exit != nil {
			m.Exit = pick(r, nil, new(3))
		}
	case 6:
		if running(m) {
			m.Status.Ports = slices.Clone(m.Status.Ports[:len(m.Status.Ports)/2])
		}
	case 7:
		if running(m) {
			m.Status.Memory = m.Status.MemoryMax / 2
		}
	case 0:
		if running(m) {
			m.Status = drivers.Status{State: drivers.Stopped, Detail: "killed"}
		}
	case 1:
		if m.Status.State == drivers.Running {
			m.Status.State = drivers.Paused
		}
	case 2:
		m.Status = drivers.Status{State: drivers.Absent}
	case 3:
		m.Proven = false
	case 4:
		if m.Status.State == drivers.Stopped && w.collision(m.Address, heldPorts(m.Applied)) == "" {
			w.run(m)
		}
	case 5: // what applies of several stacks, each cut off, can add up to
		other := w.machines[all[r.IntN(len(all))]]
		m.Applied.DependsOn = append(slices.Clone(m.Applied.DependsOn), other.Address)
		other.Applied.DependsOn = append(slices.Clone(other.Applied.DependsOn), m.Address)
	}
}
