package planner

import (
	"cmp"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// creation is the step of a VM that is not there.
func (p *planning) creation(want spec.VM) Step {
	step := Step{
		Address: want.Address,
		Action:  Create,
		Driver:  p.driver(want, Instance{}),
		Digest:  p.Digests[want.Image],
		Want:    p.keep(p.triggered(want)),
		Causes:  []Cause{{Kind: CauseNew, Detail: "it is new in the stack files", Origin: want.Origin("")}},
	}
	step.Changes = unknowns(step)
	return step
}

// forgetting is the step of an instance that a removed block lets go.
func (p *planning) forgetting(i Instance) Step {
	return Step{
		Address: i.Address,
		Action:  Forget,
		ID:      i.ID,
		Driver:  i.Driver,
		Have:    p.keep(i.Applied),
		Causes:  []Cause{{Kind: CauseRemoved, Detail: "a removed block says not to destroy it", Origin: p.removed(i.Address).Origin}},
	}
}

// keeps reports whether a removed block says not to destroy an instance.
func (p *planning) keeps(a spec.Address) bool {
	r := p.removed(a)
	return r.From != "" && !r.Destroy && !p.Destroy
}

// importOf is the import block that speaks of something.
func (p *planning) importOf(a spec.Address) spec.Import {
	for _, i := range p.Stack.Imports {
		if i.To == a {
			return i
		}
	}
	return spec.Import{}
}

// removed is the removed block that speaks of an instance.
func (p *planning) removed(a spec.Address) spec.Removed {
	if p.Stack == nil {
		return spec.Removed{}
	}
	for _, r := range p.Stack.Removed {
		if r.From.Covers(a) {
			return r
		}
	}
	return spec.Removed{}
}

// unknowns lists the attributes of a new VM that are known after apply.
func unknowns(step Step) []Change {
	open := func(p spec.Port) bool { return p.Host == 0 }
	if len(step.Want.Unknown) == 0 && !slices.ContainsFunc(step.Want.Ports, open) {
		return nil
	}
	d := diff{driver: step.Driver, have: &spec.VM{}, want: step.Want}
	d.attributes()
	for i := range d.changes {
		d.changes[i].Why = "" // nothing runs yet
	}
	return slices.DeleteFunc(d.changes, func(c Change) bool { return !c.Unknown })
}

// deletion is the step of an instance that shall go.
func (p *planning) deletion(i Instance) Step {
	cause := Cause{Kind: CauseGone, Detail: "it is no longer in the stack files"}
	if p.Destroy {
		cause = Cause{Kind: CauseDestroy, Detail: "its removal was asked for"}
	}
	step := Step{
		Address: i.Address,
		Action:  Delete,
		ID:      i.ID,
		Driver:  i.Driver,
		Have:    p.keep(i.Applied),
		Causes:  []Cause{cause},
	}
	return unlessUnknown(step, i)
}

// change is the step of an instance that shall stay.
func (p *planning) change(want spec.VM, i Instance) Step {
	driver, digest := p.driver(want, i), p.Digests[want.Image]
	want = settled(want, i.Applied)
	if ignored(want, "image") {
		digest = i.Digest
	}
	if ignored(want, "driver") {
		driver = i.Driver
	}
	have, wanted := p.keep(i.Applied), p.keep(p.triggered(unignored(want, i.Applied)))
	d := diff{driver: driver, abilities: p.Abilities[driver], have: compared(want, have), want: wanted}
	if alive(i) {
		d.most = i.Status.MemoryMax
	}
	d.image(pinned{i.Applied.Image, i.Digest}, pinned{wanted.Image, digest})
	d.attributes()
	scalar(&d, "driver", "Driver", i.Driver, d.driver, func(name string) string { return name })
	d.drift(i)
	asked := slices.ContainsFunc(p.Replace, func(a spec.Address) bool { return a.Covers(i.Address) })
	effect := effectOf(d.changes)
	if p.restarts(wanted.Running, i) {
		effect = dearest(effect, EffectRestart)
	}
	if asked {
		effect = EffectReplace
	}
	step := Step{
		Address:   i.Address,
		Action:    verb(i, wanted.Running, effect),
		MovedFrom: p.moved[i.Address],

		ImportedFrom: i.ImportedFrom,
		ID:           i.ID,
		Driver:       d.driver,
		Digest:       cmp.Or(digest, i.Digest),
		Want:         wanted,
		Have:         have,
		Changes:      d.changes,
	}
	if step.Action == Start && completed(i) && effect.rank() < EffectRestart.rank() {
		if step.Action = NoOp; effect != "" {
			step.Action = Update
		}
	}
	if (step.MovedFrom != "" || step.ImportedFrom != "") && step.Action == NoOp {
		step.Action = Update
	}
	switch step.Action {
	case Update, Start:
		step.Live = alive(i) && wanted.Running && effect == EffectLive
	}
	switch step.Action {
	case Update, Restart, Replace:
		step.Effect = cmp.Or(effect, EffectNone)
	}
	step.Causes = p.causes(step, i, asked)
	return unlessUnknown(step, i)
}

// restarts reports whether the restart of an instance was asked for, and there
// is something to restart.
func (p *planning) restarts(wanted bool, i Instance) bool {
	return wanted && (alive(i) || completed(i)) && slices.ContainsFunc(p.Restart, func(a spec.Address) bool { return a.Covers(i.Address) })
}

// driver is the one that shall run a VM. Where nobody says what "auto" means,
// it is the one that runs it already.
func (p *planning) driver(want spec.VM, i Instance) string {
	if chosen := p.Drivers[want.Address]; chosen != "" {
		return chosen
	}
	if want.Driver == "auto" && i.Driver != "" {
		return i.Driver
	}
	return want.Driver
}

// settled is want with what was chosen for it before: an auto port keeps its
// host port. So is a choice that hangs on one: whether it runs.
func settled(want, have spec.VM) spec.VM {
	if slices.Contains(want.Unknown, "running") {
		want.Running = have.Running
	}
	chosen := map[spec.PortKey]int{}
	for _, p := range have.Ports {
		if p.Auto {
			chosen[p.Key()] = p.Host
		}
	}
	open := func(p spec.Port) bool { return p.Auto && p.Host == 0 && chosen[p.Key()] != 0 }
	if !slices.ContainsFunc(want.Ports, open) {
		return want
	}
	want.Ports = slices.Clone(want.Ports)
	for i, p := range want.Ports {
		if open(p) {
			want.Ports[i].Host = chosen[p.Key()]
		}
	}
	return want
}

func effectOf(changes []Change) Effect {
	var top Effect
	for _, c := range changes {
		top = dearest(top, c.Effect)
	}
	return top
}

// verb decides what happens to an instance whose attributes differ at a cost
// of effect.
func verb(i Instance, running bool, effect Effect) Action {
	restarts := effect.rank() >= EffectRestart.rank()
	switch {
	case !i.Created && (effect == EffectReplace || alive(i) && (effect.rank() >= EffectLive.rank() || !running)):
		return Replace // what was half made was made of something else
	case !i.Created, i.Status.State == drivers.Absent:
		return Create
	case effect == EffectReplace:
		return Replace
	case !running && alive(i):
		return Stop
	case running && !alive(i):
		return Start
	case running && restarts:
		return Restart
	case running && (!i.Proven || i.Status.State == drivers.Paused):
		return Start
	case effect != "":
		return Update
	default:
		return NoOp
	}
}

// completed reports whether the instance is a task that has done its work.
func completed(i Instance) bool {
	return i.Applied.Kind == spec.KindTask && !alive(i) && i.Exit != nil && *i.Exit == 0
}

// alive reports whether the instance has a process.
func alive(i Instance) bool {
	return i.Status.State == drivers.Running || i.Status.State == drivers.Paused
}

// unlessUnknown blocks a step about an instance of which nobody knows whether
// it runs: to start it may make a second one, to delete it may pull its disk
// from under a guest.
func unlessUnknown(step Step, i Instance) Step {
	if i.Status.State == drivers.Unknown {
		step.Action, step.Effect, step.Live = NoOp, "", false
		step.Causes = []Cause{{Kind: CauseDrift, Detail: detailed("it is not known whether it runs", i)}}
		step.Blocked = detailed("it is not known whether it runs", i)
	}
	return step
}
