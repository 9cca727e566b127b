package planner

import (
	"cmp"
	"slices"

	"github.com/lkup/lkup/drivers"
)

// causes says why a step about an existing instance does what it does, the
// most important reason first.
func causes(step Step, i Instance) []Cause {
	var all []Cause
	if c, found := world(step, i); found {
		all = append(all, c)
	}
	because := changesBehind(step)
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
	case state == drivers.Stopped && i.Applied.Running && i.NeverReady:
		return Cause{Kind: CauseUnproven, Detail: "an earlier apply did not see it ready"}, true
	case state == drivers.Stopped && i.Applied.Running:
		return Cause{Kind: CauseDrift, Detail: detailed("drift, it no longer runs", i)}, true
	case state == drivers.Paused:
		return Cause{Kind: CauseDrift, Detail: detailed("it is paused, and should run", i)}, true
	case state == drivers.Running && !i.Proven:
		return Cause{Kind: CauseUnproven, Detail: "an earlier apply did not see it ready"}, true
	}
	return Cause{}, false
}

// detailed adds what the driver has to say.
func detailed(text string, i Instance) string {
	if i.Status.Detail == "" {
		return text
	}
	return text + ": " + i.Status.Detail
}

// changesBehind is the changes that make a step what it is, the dearest first.
func changesBehind(step Step) []Cause {
	var behind []Change
	for _, c := range step.Changes {
		if forces(c, step.Action) {
			behind = append(behind, c)
		}
	}
	slices.SortStableFunc(behind, func(a, b Change) int { return cmp.Compare(b.Effect.rank(), a.Effect.rank()) })
	all := make([]Cause, len(behind))
	for i, c := range behind {
		all[i] = Cause{Kind: CauseChange, Detail: c.String(), Origin: c.Origin}
	}
	return all
}

// forces reports whether a change alone is reason enough for an action.
func forces(c Change, action Action) bool {
	switch action {
	case Replace:
		return c.Effect == EffectReplace
	case Restart:
		return c.Effect == EffectRestart || c.Effect == EffectLive
	case Stop, Start:
		return c.Attribute == "running"
	case Update:
		return true
	case NoOp, Create, Delete:
		return false
	default:
		panic("planner: no such action: " + string(action))
	}
}

// String is the change in one clause: memory 256MiB -> 512MiB.
func (c Change) String() string {
	switch {
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
