package planner

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// causes says why a step about an existing instance does what it does, the
// most important reason first.
func (p *planning) causes(step Step, i Instance, asked bool) []Cause {
	var all []Cause
	if asked && step.Action == Replace {
		all = append(all, Cause{Kind: CauseAsked, Detail: "its replacement was asked for"})
	}
	if (step.Action == Restart || step.Action == Start && completed(i)) && p.restarts(step.Want.Running, i) {
		all = append(all, Cause{Kind: CauseAsked, Detail: "its restart was asked for"})
	}
	if c, found := world(step, i); found {
		all = append(all, c)
	}
	if step.MovedFrom != "" {
		all = append(all, Cause{Kind: CauseMoved, Detail: "it was " + string(step.MovedFrom), Origin: p.movedAt(step)})
	}
	if step.ImportedFrom != "" {
		all = append(all, Cause{Kind: CauseImported, Detail: "an import block adopts " + step.ImportedFrom, Origin: p.importOf(step.Address).Origin})
	}
	because := p.changesBehind(step)
	if step.Action == Restart || step.Action == Replace {
		return append(because, all...) // the changes alone would do
	}
	return append(all, because...)
}

// world is the cause that lies in how the instance was found.
func world(step Step, i Instance) (Cause, bool) {
	state := i.Status.State
	switch {
	case step.Action == NoOp:
		return Cause{}, false
	case !i.Created:
		return Cause{Kind: CauseUnfinished, Detail: "an earlier apply did not finish creating it"}, true
	case state == drivers.Absent:
		return Cause{Kind: CauseDrift, Detail: detailed("its machine is gone", i)}, true
	case step.Action == Stop && !i.Applied.Running:
		return Cause{Kind: CauseDrift, Detail: detailed("it runs, and should not", i)}, true
	case !step.Want.Running:
		return Cause{}, false
	case i.Applied.Kind == spec.KindTask && state == drivers.Stopped && i.Applied.Running:
		return unfinished(i)
	case state == drivers.Stopped && i.Applied.Running && i.NeverReady:
		return Cause{Kind: CauseUnproven, Detail: "an earlier apply did not see it ready"}, true
	case state == drivers.Stopped && i.Applied.Running:
		return Cause{Kind: CauseDrift, Detail: detailed("it no longer runs", i)}, true
	case state == drivers.Paused:
		return Cause{Kind: CauseDrift, Detail: detailed("it is paused, and should run", i)}, true
	case state == drivers.Running && !i.Proven:
		return Cause{Kind: CauseUnproven, Detail: "an earlier apply did not see it ready"}, true
	}
	return Cause{}, false
}

// unfinished is why a task is run that was run before.
func unfinished(i Instance) (Cause, bool) {
	switch {
	case completed(i):
		return Cause{}, false
	case i.Exit != nil:
		return Cause{Kind: CauseUnproven, Detail: fmt.Sprintf("it failed with exit status %d", *i.Exit)}, true
	}
	return Cause{Kind: CauseUnproven, Detail: detailed("it has not completed", i)}, true
}

// detailed adds what the driver has to say.
func detailed(text string, i Instance) string {
	if i.Status.Detail == "" {
		return text
	}
	return text + ": " + i.Status.Detail
}

// changesBehind is the changes that make a step what it is, the dearest first.
func (p *planning) changesBehind(step Step) []Cause {
	var behind []Change
	for _, c := range step.Changes {
		if forces(c, step) {
			behind = append(behind, c)
		}
	}
	slices.SortStableFunc(behind, func(a, b Change) int { return cmp.Compare(b.Effect.rank(), a.Effect.rank()) })
	all := make([]Cause, len(behind))
	for i, c := range behind {
		all[i] = Cause{Kind: CauseChange, Detail: c.clause(step), Origin: c.Origin}
		if c.Drift {
			all[i].Kind = CauseDrift
			continue
		}
		all[i].Because = p.because(step, c)
	}
	return all
}

// forces reports whether a change alone is reason enough for a step's action.
func forces(c Change, step Step) bool {
	switch step.Action {
	case Replace:
		return c.Effect == EffectReplace
	case Restart:
		return c.Effect == EffectRestart
	case Stop:
		return c.Attribute == "running"
	case Start:
		return c.Attribute == "running" || step.Live && c.Effect == EffectLive || step.Have.Kind == spec.KindTask && c.Effect.rank() >= EffectRestart.rank()
	case Update:
		return true
	case NoOp, Create, Delete, Forget:
		return false
	default:
		panic("planner: no such action: " + string(step.Action))
	}
}

// clause is the change as a cause. That an image became another one by its
// files says less than its name.
func (c Change) clause(step Step) string {
	switch {
	case c.Attribute == "image" && step.Have.Image == step.Want.Image && !c.Unknown:
		return string(step.Want.Image) + " changed"
	case c.Why != "":
		return c.String() + " and " + c.Why
	}
	return c.String()
}

// String is the change in one clause: memory 256MiB -> 512MiB.
func (c Change) String() string {
	switch {
	case c.Old == hidden && c.New == hidden:
		return c.Attribute + " changed " + hidden
	case c.Unknown && c.Old == "":
		return c.Attribute + " (known after apply)"
	case c.Unknown:
		return c.Attribute + " " + c.Old + " -> (known after apply)"
	case c.Old == "":
		return c.Attribute + " " + c.New + " (added)"
	case c.New == "":
		return c.Attribute + " " + c.Old + " (removed)"
	}
	return c.Attribute + " " + c.Old + " -> " + c.New
}
