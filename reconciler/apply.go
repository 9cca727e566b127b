package reconciler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// ErrInterrupted says that Apply was asked to end early. What had begun was
// finished; the rest is for the next apply.
var ErrInterrupted = errors.New("interrupted; what had begun was finished, and the next apply does the rest")

// drainLimit bounds how long ops that run go on after Apply was asked to end.
const drainLimit = 30 * time.Second

// Materials are what a plan refers to and does not hold itself.
type Materials struct {
	Images  map[spec.Address]spec.Image  // of each VM that is to be started
	Volumes map[spec.Address]spec.Volume // that they mount
	// Sources are what the wanted values are made from; they are recorded with
	// each VM, so that a later plan can say why it changed. They may be nil.
	Sources map[string]spec.Fingerprint
	// Recipes identify what the user decides of each image; see
	// state.Instance.Recipe.
	Recipes map[spec.Address]string
	// Halt says that who is stopped is to run according to the record still: the
	// next plan that is not about a halt starts it again.
	Halt bool
}

// sourcesName identifies a set of sources by what it holds.
func (m Materials) sourcesName() (string, error) {
	if len(m.Sources) == 0 {
		return "", nil
	}
	content, err := json.Marshal(m.Sources) // map keys come sorted
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8]), nil
}

// Apply executes a plan. A failed op skips only what waits for it; the error
// joins all failures.
//
// When drain is closed nothing new is started, and what runs is finished or
// given up after 30 seconds. When ctx ends, waiting ends at once. No guest is
// stopped for either.
func (r *Reconciler) Apply(ctx context.Context, drain <-chan struct{}, plan *planner.Plan, with Materials) error {
	sources, err := with.sourcesName()
	if err == nil && len(plan.Ops) > 0 {
		err = r.Store.SetSources(sources, with.Sources)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &execution{
		Reconciler: r,
		plan:       plan,
		with:       with,
		sources:    sources,
		drain:      drain,
		results:    make([]result, len(plan.Ops)),
		places:     make(chan struct{}, r.parallelism()),
		given:      map[int]bool{},
	}
	for i := range x.results {
		x.results[i].over, x.results[i].started = make(chan struct{}), make(chan struct{})
	}
	finished := make(chan struct{})
	defer close(finished)
	go boundDrain(drain, finished, cancel)

	if err := x.volumeSteps(ctx); err != nil {
		return err
	}
	var group sync.WaitGroup
	for i := range plan.Ops {
		group.Go(func() { x.execute(ctx, i) })
	}
	group.Wait()
	return x.conclude()
}

// boundDrain ends the context some time after drain was closed.
func boundDrain(drain, finished <-chan struct{}, cancel context.CancelCauseFunc) {
	select {
	case <-finished:
		return
	case <-drain:
	}
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	select {
	case <-finished:
	case <-limit.C:
		cancel(ErrInterrupted)
	}
}

func (r *Reconciler) parallelism() int {
	if r.Parallelism > 0 {
		return r.Parallelism
	}
	return 8
}

// execution is one run of Apply.
type execution struct {
	*Reconciler
	with    Materials
	plan    *planner.Plan
	sources string // the name under which Materials.Sources are recorded
	drain   <-chan struct{}
	results []result
	places  chan struct{} // as many as ops may run at once

	formatting sync.Mutex // one disk at a time

	ports sync.Mutex
	given map[int]bool // ports for SSH that this run chose
}

// result is how an op ended. err and skipped are written before over is closed.
type result struct {
	started chan struct{} // closed when its machine was started, and when over is
	over    chan struct{}
	err     error
	skipped bool
}

// execute waits for the ops before this one, then does it or skips it.
func (x *execution) execute(ctx context.Context, i int) {
	own := &x.results[i]
	begun := sync.OnceFunc(func() { close(own.started) })
	defer begun()
	defer close(own.over)
	step := x.plan.Steps[x.plan.Ops[i].Step]
	for _, earlier := range x.plan.Ops[i].After {
		<-x.results[earlier].over
		if before := x.results[earlier]; before.err != nil || before.skipped {
			x.skip(own, step, x.plan.Steps[x.plan.Ops[earlier].Step].Address)
			return
		}
	}
	for _, earlier := range x.plan.Ops[i].AfterStart {
		<-x.results[earlier].started
		if x.ended(earlier) {
			x.skip(own, step, x.plan.Steps[x.plan.Ops[earlier].Step].Address)
			return
		}
	}
	select {
	case x.places <- struct{}{}:
		defer func() { <-x.places }()
	case <-x.drain:
	}
	if x.draining() || ctx.Err() != nil {
		x.skip(own, step, "")
		return
	}
	own.err = x.do(ctx, step, x.plan.Ops[i].Phase, begun)
}

// ended reports whether an op is over and came to nothing.
func (x *execution) ended(op int) bool {
	select {
	case <-x.results[op].over:
		return x.results[op].err != nil || x.results[op].skipped
	default:
		return false
	}
}

func (x *execution) draining() bool {
	select {
	case <-x.drain:
		return true
	default:
		return false
	}
}

func (x *execution) skip(own *result, step planner.Step, because spec.Address) {
	own.skipped = true
	detail := "interrupted"
	if because != "" && because != step.Address {
		detail = fmt.Sprintf("it waits for %s", because)
	} else if because != "" {
		detail = "its first half failed"
	}
	x.emit(Event{Address: step.Address, Kind: OpSkipped, Op: string(step.Action), Detail: detail})
}

// do carries out one op and tells of it.
func (x *execution) do(ctx context.Context, step planner.Step, phase planner.Phase, begun func()) error {
	u := &unit{execution: x, step: step, began: x.Now(), op: opName(step.Action, phase), begun: begun}
	quiet := step.Withdraws(phase)
	if !quiet {
		x.emit(Event{Address: step.Address, Kind: OpStarted, Op: u.op})
	}
	err := u.run(ctx, phase)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrInterrupted) {
		err = errors.Join(err, cause)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", u.op, step.Address, err)
		x.emit(Event{Address: step.Address, Kind: OpFailed, Op: u.op, Took: u.took(), Err: err})
		return err
	}
	if quiet {
		return nil
	}
	x.emit(Event{Address: step.Address, Kind: OpDone, Op: u.op, Took: u.took(), Stop: u.stopped})
	return nil
}

// opName is the verb of one half of a step.
func opName(action planner.Action, phase planner.Phase) string {
	switch {
	case action == planner.Update || action == planner.Forget:
		return string(action)
	case phase == planner.Down && (action == planner.Delete || action == planner.Replace):
		return "delete"
	case phase == planner.Down:
		return "stop"
	case action == planner.Restart:
		return "start"
	case action == planner.Replace:
		return "create"
	}
	return string(action)
}

// conclude records the outputs and joins the errors.
func (x *execution) conclude() error {
	var failures []error
	skipped := 0
	for i := range x.results {
		if x.results[i].err != nil {
			failures = append(failures, x.results[i].err)
		}
		if x.results[i].skipped {
			skipped++
		}
	}
	if x.draining() && skipped > 0 {
		failures = append(failures, ErrInterrupted)
	}
	if len(failures) == 0 {
		failures = append(failures, x.recordOutputs())
	}
	return errors.Join(failures...)
}

func (x *execution) recordOutputs() error {
	if len(x.plan.Outputs) == 0 {
		return nil
	}
	known := x.Store.State()
	outputs := known.Outputs
	sensitive := slices.DeleteFunc(slices.Clone(known.Sensitive), func(name string) bool {
		return slices.ContainsFunc(x.plan.Outputs, func(o planner.OutputChange) bool { return o.Name == name })
	})
	if outputs == nil {
		outputs = map[string]any{}
	}
	for _, change := range x.plan.Outputs {
		if change.Removed || !change.Known {
			delete(outputs, change.Name)
			continue
		}
		outputs[change.Name] = change.New
		if change.Sensitive {
			sensitive = append(sensitive, change.Name)
		}
	}
	slices.Sort(sensitive)
	return x.Store.SetOutputs(outputs, sensitive)
}

func (r *Reconciler) emit(e Event) {
	if r.Emit == nil {
		return
	}
	e.Time = r.Now()
	r.Emit(e)
}
