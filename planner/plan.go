// Package planner decides. Given what is wanted (a spec.Stack, with its images
// pinned) and what is there (an Inventory), it says what must be done, in what
// order, and why.
//
// It is pure: no clock, no I/O, no randomness, no errors. The same input gives
// the same Plan, byte for byte.
package planner

import (
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Input is all that a plan depends on.
type Input struct {
	Stack *spec.Stack
	// Digests holds the pinned digest of each image that a VM of the stack
	// uses. A missing one is shown as known after apply.
	Digests map[spec.Address]sources.Digest
	// Drivers says what "auto" means here: VM address -> driver name.
	Drivers map[spec.Address]string
	// Abilities says what each driver can change in a running machine.
	Abilities map[string][]drivers.Ability
	Inventory Inventory
	// Volumes are those that exist, with their sizes in MiB; 0 if unknown.
	Volumes map[spec.Address]int
	// Outputs are the outputs as last applied.
	Outputs map[string]any
	// Targets, if any, restrict the plan to these addresses and what they
	// depend on. "vm.web" covers every instance of it.
	Targets []spec.Address
	// Exclude leaves these addresses alone, and what depends on them (when
	// something is destroyed, what they depend on).
	Exclude []spec.Address
	// Replace makes these anew, whether or not anything about them changed.
	Replace []spec.Address
	// Restart stops these and starts them again, changed or not, if they run.
	Restart []spec.Address
	// Destroy plans the removal of everything (of the targets and what
	// depends on them, if there are any).
	Destroy bool
	// RefreshOnly plans to record what drifted, and nothing else.
	RefreshOnly bool
	// Sources are what the values of the stack are made from now, by key. They
	// only serve to say why something changed.
	Sources map[string]spec.Fingerprint
	// Host is what there is for the stack's machines to have.
	Host Host
	// Elsewhere are the host ports of this host's other stacks.
	Elsewhere []HeldPort
}

// Inventory is all instances of a stack, now.
type Inventory map[spec.Address]Instance

// Instance is a VM that exists: the spec last applied, and what was observed.
type Instance struct {
	Address spec.Address
	ID      string
	Applied spec.VM
	Digest  sources.Digest // of the image it was made from
	Driver  string         // never "auto"
	Status  drivers.Status
	// Proven says that the process which runs now was seen ready after it
	// started. A running instance that is not proven is started again, which
	// leaves its process alone and proves it.
	Proven bool
	// NeverReady says that no process was seen ready since what is applied was
	// applied: a stopped one is then not drift, but a start that failed.
	NeverReady bool
	// Exit is the exit status of a task that has ended; nil while it has not,
	// and if nobody knows.
	Exit *int
	// Created is false for an instance that was recorded but whose creation
	// never finished.
	Created bool
	// Own are the ports that lkup forwards besides those of Applied: for SSH.
	Own []drivers.Port
	// Lost are the volumes whose file is gone.
	Lost []spec.Address
	// Edited says that its manifest is not what lkup wrote.
	Edited bool
	// ImportedFrom is the directory from which the stack files import it; it is
	// not in the state then.
	ImportedFrom string
	// Since is when it became what it is.
	Since time.Time
	// Sources are what its values were made from, as recorded.
	Sources map[string]spec.Fingerprint
}

// Plan is a decision, ready to be shown, saved and executed. It leaves no
// choice to whoever executes it.
type Plan struct {
	// Steps has one entry per VM, wanted or there, sorted by address; NoOp
	// ones too, but for those on demand that do not run. With targets, only
	// those that they select; when everything is destroyed, only those that are
	// there.
	Steps []Step `json:"steps"`
	// Ops are the executable halves of the steps, in an order that respects
	// After. An op starts when all ops of its After have succeeded, and those of
	// its AfterStart have come so far; if one of those failed or was skipped,
	// it is skipped.
	Ops []Op `json:"ops"`
	// Volumes are done before any op, in this order: those that come, move or
	// are let go, sorted by address.
	Volumes []VolumeStep `json:"volumes,omitempty"`
	// Outputs are the outputs that change, sorted by name. With targets they
	// are left alone until a whole apply.
	Outputs []OutputChange `json:"outputs,omitempty"`
	// Drift is what was changed behind lkup's back, sorted by address. The
	// steps mend it.
	Drift []Drift `json:"drift,omitempty"`
	// Checks are the check blocks as they are now; one that fails only warns.
	Checks []spec.Check `json:"checks,omitempty"`
	// Refusals are steps that the stack files forbid, or that this host has no
	// room for. As long as there is one, nothing of the plan may be executed.
	Refusals []Refusal `json:"refusals,omitempty"`
}

// Drift is one thing that differs from the state though lkup changed nothing.
type Drift struct {
	Address spec.Address `json:"address"`
	Detail  string       `json:"detail"` // one clause for people
}

// Refusal is one step that must not be taken, and why.
type Refusal struct {
	Address spec.Address `json:"address"`
	Detail  string       `json:"detail"` // for people, with what to type
}

// Effect is the dearest effect of all steps, for who wants to limit it.
func (p *Plan) Effect() Effect {
	top := EffectNone
	for _, s := range p.Steps {
		top = dearest(top, s.Limit())
	}
	return top
}

// Empty reports whether there is nothing to do: no action, none that is needed
// but blocked, and no output that changes.
func (p *Plan) Empty() bool {
	for _, s := range p.Steps {
		if s.Action != NoOp || s.Blocked != "" {
			return false
		}
	}
	return len(p.Volumes) == 0 && !p.OutputsChange()
}

// OutputsChange reports whether any output gets a new value, or goes.
func (p *Plan) OutputsChange() bool { return len(p.Outputs) > 0 }

// Destroys lists the VMs that the plan deletes, to make them anew or for good.
func (p *Plan) Destroys() []spec.Address {
	return p.addresses(func(s Step) bool { return s.Action == Replace || s.Action == Delete })
}

// Blocked lists the VMs that need something which must not be done now.
func (p *Plan) Blocked() []spec.Address {
	return p.addresses(func(s Step) bool { return s.Blocked != "" })
}

func (p *Plan) addresses(of func(Step) bool) []spec.Address {
	var found []spec.Address
	for _, s := range p.Steps {
		if of(s) {
			found = append(found, s.Address)
		}
	}
	return found
}

// Step is what happens to one VM.
type Step struct {
	Address spec.Address `json:"address"`
	Action  Action       `json:"action"`
	// Effect is what the step's changes cost its guest; empty where no guest is
	// changed: it is created, deleted, started or stopped.
	Effect Effect `json:"effect,omitempty"`
	// Live says that a running machine is changed in place.
	Live bool `json:"live,omitempty"`
	// MovedFrom is the address under which the state has it until now.
	MovedFrom spec.Address `json:"moved_from,omitempty"`
	// ImportedFrom is the directory that an import block names.
	ImportedFrom string `json:"imported_from,omitempty"`
	// ID is the instance's, empty for one that is still to be created.
	ID     string         `json:"id,omitempty"`
	Driver string         `json:"driver,omitempty"`
	Digest sources.Digest `json:"digest,omitempty"` // of the wanted image
	// Want is the VM as it shall be; nil when the step deletes it.
	Want *spec.VM `json:"want,omitempty"`
	// Have is the VM as last applied; nil when there is none.
	Have    *spec.VM `json:"have,omitempty"`
	Changes []Change `json:"changes,omitempty"`
	// Causes say why, the most important one first. A NoOp has none, unless
	// it is blocked.
	Causes []Cause `json:"causes,omitempty"`
	// Blocked says, for people, why nothing is done although something should
	// be: it is not known whether the instance runs, or somebody who is left
	// alone holds a host port that it needs, or it would have to wait for a
	// blocked one. The action is NoOp then, and the step has no ops.
	Blocked string `json:"blocked,omitempty"`
}

// Action is the verb of a step.
type Action string

// The actions.
const (
	NoOp    Action = "no-op"
	Create  Action = "create"  // and start, unless it shall not run
	Start   Action = "start"   // it exists but does not run, or was never proved ready
	Update  Action = "update"  // the record changes, and, if the step is Live, the running machine in place
	Restart Action = "restart" // stop, then start with the new settings; disks stay
	Replace Action = "replace" // delete, then create
	Stop    Action = "stop"    // it shall exist and not run
	Delete  Action = "delete"
	Import  Action = "import" // of volumes: it becomes a copy of a disk
	Forget  Action = "forget" // it leaves the record, and nothing else happens to it
)

// Change is one attribute that differs.
type Change struct {
	Attribute string `json:"attribute"` // as in spec.VM.Origins; "image" for a new digest
	Old       string `json:"old,omitempty"`
	New       string `json:"new,omitempty"`
	Unknown   bool   `json:"unknown,omitempty"` // New is known after apply
	Effect    Effect `json:"effect"`
	Loses     bool   `json:"loses,omitempty"` // what is on the VM's own disk is lost
	Drift     bool   `json:"drift,omitempty"` // Old is what was found, not what was applied
	// Why says why it costs more than it could; empty if it does not.
	Why    string   `json:"why,omitempty"`
	Origin spec.Pos `json:"origin,omitzero"` // where New was written; zero if it was removed
}

// Effect is what a changed attribute costs.
type Effect string

// The effects, cheapest first.
const (
	EffectNone    Effect = "none"
	EffectLive    Effect = "live"
	EffectRestart Effect = "restart"
	EffectReplace Effect = "replace"
)

// Cause is why a step is in the plan.
type Cause struct {
	Kind   CauseKind `json:"kind"`
	Detail string    `json:"detail"`          // one clause for people: `memory 256MiB -> 512MiB`
	Origin spec.Pos  `json:"origin,omitzero"` // zero if no line of the stack files says so
	// Because is what lies behind a change, the nearest first, down to the
	// root: a line of a file, or a variable.
	Because []Link `json:"because,omitempty"`
}

// Link is one thing in the chain of a cause that changed.
type Link struct {
	What   string   `json:"what"`             // template.web, var.size, site/nginx.conf:14
	Detail string   `json:"detail,omitempty"` // "main" -> "next", where it can be shown
	Origin spec.Pos `json:"origin,omitzero"`
}

// CauseKind tells causes apart for programs.
type CauseKind string

// The kinds of cause.
const (
	CauseNew        CauseKind = "new"        // in the stack files, and not there
	CauseGone       CauseKind = "gone"       // there, and no longer in the stack files
	CauseChange     CauseKind = "change"     // an attribute differs
	CauseDrift      CauseKind = "drift"      // the world changed behind lkup's back
	CauseUnproven   CauseKind = "unproven"   // an earlier apply did not see it ready
	CauseUnfinished CauseKind = "unfinished" // an earlier apply did not finish creating it
	CauseDestroy    CauseKind = "destroy"    // the user asked for its removal
	CauseAsked      CauseKind = "asked"      // the user asked for its replacement or restart
	CauseMoved      CauseKind = "moved"      // the stack files give it another address
	CauseImported   CauseKind = "imported"   // an import block adopts it
	CauseRemoved    CauseKind = "removed"    // a removed block says to forget it
	CauseDependency CauseKind = "dependency" // what it depends on is replaced
)

// Op is one executable half of a step.
type Op struct {
	Step  int   `json:"step"` // index into Steps
	Phase Phase `json:"phase"`
	After []int `json:"after,omitempty"` // indices into Ops, all smaller than this one's
	// AfterStart are ops whose machine must have been started, and need not be
	// ready: indices as in After.
	AfterStart []int `json:"after_start,omitempty"`
}

// Phase says which half of a step an op is.
type Phase string

// The phases. Down stops the instance, and deletes it if the step's action is
// Replace or Delete; of a Live step it only takes away the ports that go. Up
// creates it, if the action is Create or Replace, then starts it, or changes
// what runs, and proves that it is ready. Record only writes the state.
const (
	Down   Phase = "down"
	Up     Phase = "up"
	Record Phase = "record"
)

// OutputChange is an output that differs from what the last apply recorded.
type OutputChange struct {
	Name      string `json:"name"`
	Old       any    `json:"old,omitempty"`
	New       any    `json:"new,omitempty"`
	Known     bool   `json:"known"`             // false: New is known after apply
	Added     bool   `json:"added,omitempty"`   // it was not recorded before
	Removed   bool   `json:"removed,omitempty"` // it is no longer in the stack files
	Sensitive bool   `json:"sensitive,omitempty"`
}
