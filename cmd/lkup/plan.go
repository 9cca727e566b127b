package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type planCmd struct {
	stackFlags
	lockFlags
	choiceFlags
	offlineFlag
	JSON             bool   `name:"json" help:"Print the plan as JSON."`
	Out              string `name:"out" placeholder:"FILE" help:"Save the plan, for lkup apply FILE."`
	DetailedExitcode bool   `name:"detailed-exitcode" help:"Exit with 2 if the plan is not empty."`
}

// choiceFlags choose what a plan is about.
type choiceFlags struct {
	overcommitFlag
	Target      []spec.Address `name:"target" sep:"none" placeholder:"ADDRESS" help:"Only this and what it depends on. May be repeated."`
	Exclude     []spec.Address `name:"exclude" sep:"none" placeholder:"ADDRESS" help:"All but this and what depends on it. May be repeated."`
	Replace     []spec.Address `name:"replace" sep:"none" placeholder:"ADDRESS" help:"Make this anew, changed or not. May be repeated."`
	Destroy     bool           `name:"destroy" help:"Remove every machine."`
	RefreshOnly bool           `name:"refresh-only" help:"Only record what was changed behind lkup's back."`
	Upgrade     bool           `name:"upgrade" help:"Resolve what lkup.lock.hcl locks anew, and take this lkup's own parts of images: its init, kernel modules and built-in templates."`
	MaxEffect   planner.Effect `name:"max-effect" placeholder:"EFFECT" enum:",live,restart,replace" default:"" help:"Refuse a plan that goes further: live, restart or replace."`
}

// overcommitFlag lets a plan go beyond the host.
type overcommitFlag struct {
	Overcommit bool `name:"allow-overcommit" help:"Start machines that have more memory or processors than this computer."`
}

// offlineFlag keeps a command off the network.
type offlineFlag struct {
	Offline bool `name:"offline" env:"LKUP_OFFLINE" help:"Use no network; fail before anything is done if an image is not here, naming all that is missing."`
}

// check finds flags that contradict each other.
func (c choiceFlags) check() error {
	switch {
	case c.RefreshOnly && (c.Destroy || len(c.Replace) > 0):
		return usageError{"--refresh-only changes no machine; take out --destroy and --replace"}
	case c.Destroy && len(c.Replace) > 0:
		return usageError{"--destroy and --replace contradict each other; take one out"}
	}
	return nil
}

// refused is the error of a plan that must not be executed, or goes too far.
func (c choiceFlags) refused(plan *planner.Plan) error {
	if len(plan.Refusals) > 0 {
		r := plan.Refusals[0]
		return fmt.Errorf("%s: %s", r.Address, r.Detail)
	}
	if c.MaxEffect == "" || !plan.Effect().Exceeds(c.MaxEffect) {
		return nil
	}
	var beyond []spec.Address
	for _, s := range plan.Steps {
		if s.Limit().Exceeds(c.MaxEffect) {
			beyond = append(beyond, s.Address)
		}
	}
	return fmt.Errorf("this goes further than --max-effect=%s allows: %s of %s; nothing was done", c.MaxEffect, plan.Effect(), view.List(beyond))
}

func (c *planCmd) Run(call *call) error {
	if err := c.check(); err != nil {
		return err
	}
	var seen *ahead
	if c.Out == "" {
		seen = lookAhead(call.ctx, call.Host, c.stackFlags)
	}
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	decide := decider{host: call.Host, project: p, ahead: seen, choice: c.choiceFlags, offline: c.Offline}
	if c.Out != "" {
		// A saved plan leaves nothing open: the auto ports are chosen now.
		store, err := lockStack(call, p.paths, p.stack.Name, p.dir, "plan", c.lockFlags)
		if err != nil {
			return err
		}
		defer store.Close()
		decide.store = store
	}
	d, err := decide.run(call.ctx)
	if err != nil {
		return err
	}
	if err := d.images.writeLockFile(call.ctx, c.Out != ""); err != nil {
		return err
	}
	if err := c.show(call, d.plan); err != nil {
		return err
	}
	if err := c.refused(d.plan); err != nil {
		return err
	}
	if c.Out != "" {
		if err := d.save(c.Out); err != nil {
			return err
		}
		fmt.Fprintf(call.Err, "\nSaved to %s. To do exactly this, type: lkup apply %s\n", c.Out, c.Out)
	}
	if c.DetailedExitcode && !d.plan.Empty() {
		return exitError(exitChanges)
	}
	return nil
}

func (c *planCmd) show(call *call, plan *planner.Plan) error {
	if c.JSON {
		return view.PlanJSON(call.Out, plan)
	}
	return view.Plan(call.Out, call.outStyle(), plan)
}

// decider makes the decision that plan shows and apply executes.
type decider struct {
	host    Host
	project *project
	ahead   *ahead       // nil where the state may be changing
	store   *state.Store // locked, when choices may be recorded; else nil
	choice  choiceFlags
	restart []spec.Address // to be restarted, changed or not
	offline bool
}

// decision is a plan and what it was made from.
type decision struct {
	plan    *planner.Plan
	images  *imageSources
	pinned  resolved
	sources map[string]spec.Fingerprint
	state   state.State
	project *project
}

// run resolves, observes and plans.
func (d decider) run(ctx context.Context) (*decision, error) {
	p := d.project
	if err := p.checkDrivers(d.host); err != nil {
		return nil, err
	}
	if !d.choice.Destroy && !d.choice.RefreshOnly {
		if err := p.checkFiles(d.host); err != nil {
			return nil, err
		}
		warnings, _ := p.checkTemplates(d.host) // mistakes are found again when the images are resolved
		view.Diagnostics(d.host.Err, d.host.errStyle(), p.sources, warnings)
	}
	if !d.choice.Destroy && !d.choice.RefreshOnly {
		if err := p.fetchSecrets(ctx); err != nil {
			return nil, err
		}
	}
	images, err := openImageSources(d.host, p.dir, imageUse{offline: d.offline, upgrade: d.choice.Upgrade})
	if err != nil {
		return nil, err
	}
	known, err := d.choose(ctx)
	if err != nil {
		return nil, err
	}
	for flag, addresses := range map[string][]spec.Address{"--target": d.choice.Target, "--exclude": d.choice.Exclude, "--replace": d.choice.Replace} {
		if err := checkAddresses(flag, addresses, p.stack, known); err != nil {
			return nil, err
		}
	}
	if d.offline && !d.choice.Destroy && !d.choice.RefreshOnly {
		if err := images.checkHere(ctx, usedImages(p.stack), known); err != nil {
			return nil, err
		}
	}
	pinned, now, err := d.look(ctx, images, known)
	if err != nil {
		return nil, err
	}
	if err := p.checkImages(pinned.guests); err != nil {
		return nil, err
	}
	if !d.choice.Destroy && !d.choice.RefreshOnly {
		if err := d.imports(ctx, known, now); err != nil {
			return nil, err
		}
	}
	p.stack.Seal(known.Lineage)
	input := planInput(d.host, p.stack, pinned.digests, now, known, p.paths)
	input.Targets, input.Exclude, input.Replace = d.choice.Target, d.choice.Exclude, d.choice.Replace
	input.Restart = d.restart
	input.Destroy, input.RefreshOnly = d.choice.Destroy, d.choice.RefreshOnly
	input.Sources = madeFrom(p.stack, pinned, known.Lineage)
	if !d.choice.Overcommit {
		input.Host = d.host.size()
	}
	if asksForPorts(p.stack) {
		input.Elsewhere = elsewhere(d.host, p.paths)
	}
	return &decision{plan: planner.New(input), images: images, pinned: pinned, sources: input.Sources, state: known, project: p}, nil
}

// look pins the images, and meanwhile observes the machines.
func (d decider) look(ctx context.Context, images *imageSources, known state.State) (pinned resolved, now planner.Inventory, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		var there bool
		if _, now, there = d.ahead.of(d.project.paths); !there {
			now, err = reconciler.Observe(ctx, known, d.project.paths, allDrivers(d.host))
		}
		return err
	})
	if !d.choice.Destroy && !d.choice.RefreshOnly {
		made := known
		if d.choice.Upgrade {
			made = state.State{}
		}
		group.Go(func() (err error) {
			pinned, err = resolve(ctx, images, d.project.stack, made)
			return err
		})
	}
	err = group.Wait()
	return pinned, now, err
}

// choose makes the choices that expressions may refer to, or, without the
// lock, only reads those made before, and evaluates the stack with them.
func (d decider) choose(ctx context.Context) (state.State, error) {
	p := d.project
	if d.store == nil {
		known, _, there := d.ahead.of(p.paths)
		if !there {
			var err error
			if known, err = state.Read(p.paths); err != nil {
				return state.State{}, err
			}
		}
		if facts := reconciler.Facts(known, p.stack.Moved); !facts.None() {
			return known, p.evaluate(facts, false)
		}
		return known, nil
	}
	if d.choice.Destroy || d.choice.RefreshOnly {
		return d.store.State(), nil
	}
	r := newReconciler(d.host, p.paths, p.dir, nil, d.store)
	facts, err := r.ChoosePorts(ctx, p.stack)
	if err != nil {
		return state.State{}, err
	}
	if !facts.None() {
		err = p.evaluate(facts, false)
	}
	return d.store.State(), err
}
