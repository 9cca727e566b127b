package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// applyFlags are shared by the commands that execute plans.
type applyFlags struct {
	lockFlags
	AutoApprove bool `name:"auto-approve" short:"y" help:"Do not ask before anything is destroyed."`
	JSON        bool `name:"json" help:"Print events as JSON, one a line."`
	Parallelism int  `name:"parallelism" placeholder:"N" default:"8" help:"Work on so many machines at once."`
}

// redrawEvery is how often a terminal is shown that time passes.
const redrawEvery = 100 * time.Millisecond

type applyCmd struct {
	stackFlags
	applyFlags
	choiceFlags
	offlineFlag
	Plan string `arg:"" optional:"" help:"A plan saved by lkup plan --out FILE; it is executed exactly."`
}

func (c *applyCmd) Run(call *call) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Plan != "" {
		return c.saved(call)
	}
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	store, err := lockStack(call, p.paths, p.stack.Name, p.dir, "apply", c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	d, err := decider{host: call.Host, project: p, store: store, choice: c.choiceFlags, offline: c.Offline}.run(call.ctx)
	if err != nil {
		return err
	}
	return c.execute(call, execution{
		reconciler: newReconciler(call.Host, p.paths, p.dir, d.images, store),
		agreed:     func() error { return d.images.writeLockFile(call.ctx, true) },
		plan:       d.plan,
		with:       reconciler.Materials{Images: p.stack.Images, Volumes: p.stack.Volumes, Sources: d.sources, Recipes: d.pinned.recipes},
		outputs:    p.stack.Outputs,
		choice:     c.choiceFlags,
		command:    "apply",
		flags:      c.stackFlags,
	})
}

// saved executes a saved plan, if nothing that it rests on has moved.
func (c *applyCmd) saved(call *call) error {
	saved, err := readSaved(c.Plan)
	if err != nil {
		return err
	}
	paths := call.Layout().Stack(saved.Stack, saved.Project)
	store, err := lockStack(call, paths, saved.Stack, saved.Project, "apply "+c.Plan, c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	images, err := openImageSources(call.Host, saved.Project, imageUse{offline: c.Offline})
	if err != nil {
		return err
	}
	if c.Offline {
		if err := images.checkHere(call.ctx, savedImages(saved), store.State()); err != nil {
			return err
		}
	}
	if err := stillHolds(call.ctx, saved, store.State(), images); err != nil {
		return fmt.Errorf("%s is out of date: %w; make a new one with: lkup plan --out %s", c.Plan, err, c.Plan)
	}
	if err := handSecrets(call.ctx, call.Host, c.stackFlags, saved, reconciler.Facts(store.State(), nil)); err != nil {
		return fmt.Errorf("%s is out of date: %w; make a new one with: lkup plan --out %s", c.Plan, err, c.Plan)
	}
	c.AutoApprove = true
	return c.execute(call, execution{
		reconciler: newReconciler(call.Host, paths, saved.Project, images, store),
		plan:       &saved.Plan,
		with:       reconciler.Materials{Images: saved.Images, Volumes: saved.Volumes, Sources: saved.Sources, Recipes: saved.Recipes},
		choice:     c.choiceFlags,
		command:    "apply " + filepath.Base(c.Plan),
		flags:      c.stackFlags,
	})
}

// execution is a plan with all it takes to carry it out.
type execution struct {
	reconciler *reconciler.Reconciler
	plan       *planner.Plan
	with       reconciler.Materials
	outputs    map[string]spec.Output
	choice     choiceFlags
	command    string // as the history shows it
	flags      stackFlags
	// agreed, if set, is called once nothing refuses the plan and nobody does.
	agreed func() error
	// progress, if set, shows the events.
	progress func(*planner.Plan) view.Progress
}

// errRefused is the answer of a person who was asked.
var errRefused = errors.New("nothing was changed")

// execute shows the plan, asks where something would be destroyed, and
// carries it out.
func (c *applyFlags) execute(call *call, x execution) (err error) {
	defer func() { // also after a failure: what came up is to stay up
		r := x.reconciler
		err = errors.Join(err, ensureSupervisor(call.Host, r.Layout, r.Store.State(), x.flags))
	}()
	if err := c.announce(call, x.plan); err != nil {
		return err
	}
	if err := x.choice.refused(x.plan); err != nil {
		return err
	}
	if err := c.ask(call, x.plan); err != nil {
		return err
	}
	if x.agreed != nil {
		if err := x.agreed(); err != nil {
			return err
		}
	}
	if x.plan.Empty() {
		return errors.Join(c.copyShares(call, x), c.finish(call, x))
	}
	if err := c.carryOut(call, x); err != nil {
		return err
	}
	if err := c.copyShares(call, x); err != nil {
		return err
	}
	r := x.reconciler
	if err := r.Store.AddGeneration(state.Generation{Time: call.Now().UTC(), Command: x.command, Summary: view.Summary(x.plan), Version: version}); err != nil {
		return fmt.Errorf("record the generation: %w", err)
	}
	if blocked := x.plan.Blocked(); len(blocked) > 0 {
		return fmt.Errorf("nothing was done to %s; the plan says why", view.List(blocked))
	}
	return c.finish(call, x)
}

// carryOut executes a plan and shows its progress.
func (c *applyFlags) carryOut(call *call, x execution) error {
	show := x.progress
	if show == nil {
		show = func(plan *planner.Plan) view.Progress { return c.progress(call, plan) }
	}
	progress := show(x.plan)
	r := x.reconciler
	r.Emit = progress.Event
	r.Parallelism = c.Parallelism
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := context.AfterFunc(call.ctx, func() {
		progress.Event(reconciler.Event{Kind: reconciler.Warning, Detail: "interrupted: finishing what has begun; press Ctrl-C again to leave at once (no guest is stopped)"})
	})
	defer stop()
	go attend(ctx, call.interrupts.second, cancel, progress)
	err := r.Apply(ctx, call.ctx.Done(), x.plan, x.with)
	cancel()
	progress.Close()
	return err
}

// copyShares brings machines that the plan leaves running what has changed in
// the shares that they have copies of.
func (c *applyFlags) copyShares(call *call, x execution) error {
	if x.choice.RefreshOnly {
		return nil
	}
	meant := func(a spec.Address) bool {
		at, selected := slices.BinarySearchFunc(x.plan.Steps, a, func(s planner.Step, a spec.Address) int { return cmp.Compare(s.Address, a) })
		return selected && (x.plan.Steps[at].Action == planner.NoOp || x.plan.Steps[at].Action == planner.Update)
	}
	r := x.reconciler
	shown := sync.OnceValue(func() view.Progress { return c.progress(call, x.plan) })
	r.Emit = func(e reconciler.Event) { shown().Event(e) }
	return r.CopyShares(call.ctx, meant)
}

// attend ends an apply on the second Ctrl-C, and meanwhile shows time passing.
func attend(ctx context.Context, second <-chan struct{}, cancel func(), progress view.Progress) {
	ticker, shows := progress.(view.Ticker)
	if !shows {
		select {
		case <-second:
			cancel()
		case <-ctx.Done():
		}
		return
	}
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-second:
			cancel()
		case <-ctx.Done():
			return
		case <-tick.C:
			ticker.Tick()
		}
	}
}

func (c *applyFlags) announce(call *call, plan *planner.Plan) error {
	if c.JSON {
		return nil
	}
	return view.Plan(call.Out, call.outStyle(), plan)
}

// progress is where events go: results as JSON to stdout, progress for people
// to stderr.
func (c *applyFlags) progress(call *call, plan *planner.Plan) view.Progress {
	if c.JSON {
		return view.EventsJSON(call.Out)
	}
	return view.Events(call.Err, call.errStyle(), plan, call.Now)
}

// ask lets a person decide before machines and their disks are destroyed.
func (c *applyFlags) ask(call *call, plan *planner.Plan) error {
	doomed := plan.Destroys()
	if len(doomed) == 0 || c.AutoApprove {
		return nil
	}
	if !call.TTY.In || c.JSON {
		return fmt.Errorf("this would destroy %s; to do it without being asked, add -y", view.List(doomed))
	}
	fmt.Fprintf(call.Err, "\nThis destroys %s. Volumes stay. Go on? Only \"yes\" is taken: ", view.List(doomed))
	answer, err := readLine(call.ctx, call.In)
	if err != nil {
		return err
	}
	if answer != "yes" {
		return errRefused
	}
	return nil
}

// finish shows the outputs.
func (c *applyFlags) finish(call *call, x execution) error {
	if c.JSON || len(x.outputs) == 0 {
		return nil
	}
	fmt.Fprintln(call.Out)
	return view.Outputs(call.Out, call.outStyle(), view.OutputsOf(x.outputs))
}
