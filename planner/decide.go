package planner

import (
	"fmt"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// wanted is what the stack asks of one VM, all choices made.
type wanted struct {
	vm     spec.VM
	driver string
	digest sources.Digest
}

// decide settles what happens to one VM. have or want may be nil, not both.
func decide(address spec.Address, have *Instance, want *wanted) Step {
	switch {
	case want == nil:
		return remove(address, *have, Cause{Kind: CauseGone, Detail: "no longer in the stack files"})
	case have == nil:
		step := begin(address, *want, nil)
		step.Action = Create
		step.Causes = []Cause{{Kind: CauseNew, Detail: "new in the stack files", Origin: want.vm.Origin("")}}
		return step
	}
	return reconcile(address, *have, *want)
}

func begin(address spec.Address, want wanted, have *Instance) Step {
	vm := want.vm
	step := Step{Address: address, Driver: want.driver, Digest: want.digest, Want: &vm}
	if have != nil {
		applied := have.Applied
		step.ID, step.Have = have.ID, &applied
	}
	return step
}

func remove(address spec.Address, have Instance, cause Cause) Step {
	applied := have.Applied
	return Step{
		Address: address, Action: Delete, ID: have.ID, Driver: have.Driver, Digest: have.Digest,
		Have: &applied, Causes: []Cause{cause},
	}
}

// reconcile settles what happens to a VM that is both there and wanted.
func reconcile(address spec.Address, have Instance, want wanted) Step {
	want.vm.Ports = keepAll(want.vm.Ports, have.Applied.Ports)
	step := begin(address, want, &have)
	step.Changes = diff(have, want.vm, want.driver, want.digest)
	effect := worst(step.Changes)
	drift := driftOf(have)
	step.Action = verb(have, want.vm, effect, len(step.Changes) > 0)
	switch {
	case have.Status.State == drivers.Unknown:
		// A process is there that may be somebody else's: nothing is done to
		// it, and the driver refuses if asked, so the plan says why.
		step.Causes = []Cause{{Kind: CauseDrift, Detail: have.Status.Detail}}
	case !have.Created:
		step.Causes = append(step.Causes, Cause{Kind: CauseUnfinished, Detail: "an earlier apply did not finish creating it"})
	case drift != "" && step.Action != NoOp:
		step.Causes = append(step.Causes, Cause{Kind: CauseDrift, Detail: drift})
	case step.Action == Start && have.Status.State == drivers.Running:
		step.Causes = append(step.Causes, Cause{Kind: CauseUnproven, Detail: "an earlier apply did not see it ready"})
	}
	for _, c := range step.Changes {
		step.Causes = append(step.Causes, Cause{Kind: CauseChange, Detail: c.text(), Origin: c.Origin})
	}
	return step
}

// verb chooses the action for a VM that is both there and wanted.
func verb(have Instance, want spec.VM, effect Effect, changed bool) Action {
	state := have.Status.State
	switch {
	case state == drivers.Unknown:
		return NoOp
	case effect == EffectReplace && have.Created && state != drivers.Absent:
		return Replace
	case !have.Created || state == drivers.Absent:
		return Create
	case !want.Running && (state == drivers.Running || state == drivers.Paused):
		return Stop
	case !want.Running && effect == EffectRestart:
		return Update // it does not run, so the record is all there is to change
	case want.Running && state == drivers.Stopped:
		return Start
	case want.Running && effect == EffectRestart:
		return Restart
	case want.Running && (state == drivers.Paused || !have.Proven):
		return Start
	case changed:
		return Update
	}
	return NoOp
}

// driftOf says how the world differs from what was applied, "" if it does not.
func driftOf(have Instance) string {
	if !have.Created {
		return ""
	}
	switch state := have.Status.State; {
	case state == drivers.Absent:
		return "it was removed behind lkup's back"
	case state == drivers.Stopped && have.Applied.Running:
		return "its process is gone"
	case state == drivers.Paused:
		return "it was paused behind lkup's back"
	case state == drivers.Running && !have.Applied.Running:
		return "it was started behind lkup's back"
	}
	return ""
}

func (c Change) text() string {
	now := c.New
	switch {
	case c.Unknown:
		now = "(known after apply)"
	case now == "":
		return fmt.Sprintf("%s removed", c.Attribute)
	}
	if c.Old == "" {
		return fmt.Sprintf("%s = %s", c.Attribute, now)
	}
	return strings.Join([]string{c.Attribute, c.Old, "->", now}, " ")
}
