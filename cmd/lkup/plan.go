package main

import (
	"context"
	"fmt"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

type planCmd struct {
	stackFlags
	lockFlags
	JSON             bool           `name:"json" help:"Print the plan as JSON."`
	Out              string         `name:"out" placeholder:"FILE" help:"Save the plan, for lkup apply FILE."`
	DetailedExitcode bool           `name:"detailed-exitcode" help:"Exit with 2 if the plan is not empty."`
	Target           []spec.Address `name:"target" sep:"none" placeholder:"ADDRESS" help:"Plan only this and what it depends on. May be repeated."`
	Destroy          bool           `name:"destroy" help:"Plan the removal of every machine."`
}

func (c *planCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	decide := decider{host: call.Host, project: p, targets: c.Target, destroy: c.Destroy}
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
	if c.Out != "" {
		if err := d.save(c.Out); err != nil {
			return err
		}
	}
	if err := c.show(call, d.plan); err != nil {
		return err
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
	if err := view.Plan(call.Out, call.outStyle(), plan); err != nil {
		return err
	}
	if c.Out != "" {
		fmt.Fprintf(call.Out, "\nSaved to %s. To do exactly this, type: lkup apply %s\n", c.Out, c.Out)
	}
	return nil
}

// decider makes the decision that plan shows and apply executes.
type decider struct {
	host    Host
	project *project
	store   *state.Store // locked, when choices may be recorded; else nil
	targets []spec.Address
	destroy bool
}

// decision is a plan and what it was made from.
type decision struct {
	plan    *planner.Plan
	images  *imageSources
	digests map[spec.Address]sources.Digest
	state   state.State
	project *project
}

// run resolves, observes and plans.
func (d decider) run(ctx context.Context) (*decision, error) {
	p := d.project
	if err := p.checkDrivers(d.host); err != nil {
		return nil, err
	}
	images, err := newImageSources(d.host, p.dir)
	if err != nil {
		return nil, err
	}
	known, err := d.choose(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkTargets(d.targets, p.stack, known); err != nil {
		return nil, err
	}
	var digests map[spec.Address]sources.Digest
	if !d.destroy {
		if digests, err = resolve(ctx, images, p.stack); err != nil {
			return nil, err
		}
	}
	now, err := reconciler.Observe(ctx, known, p.paths, allDrivers(d.host))
	if err != nil {
		return nil, err
	}
	input := planInput(p.stack, digests, now, known.Outputs, d.targets)
	input.Destroy = d.destroy
	return &decision{plan: planner.New(input), images: images, digests: digests, state: known, project: p}, nil
}

// choose makes the choices that expressions may refer to, or, without the
// lock, only reads those made before, and evaluates the stack with them.
func (d decider) choose(ctx context.Context) (state.State, error) {
	p := d.project
	if d.store == nil {
		known, err := state.Read(p.paths)
		if err != nil {
			return state.State{}, err
		}
		if facts := reconciler.Facts(known); len(facts.HostPorts) > 0 {
			return known, p.evaluate(facts, false)
		}
		return known, nil
	}
	if d.destroy {
		return d.store.State(), nil
	}
	r := newReconciler(d.host, p.paths, p.dir, nil, d.store)
	facts, err := r.ChoosePorts(ctx, p.stack)
	if err != nil {
		return state.State{}, err
	}
	if len(facts.HostPorts) > 0 {
		err = p.evaluate(facts, false)
	}
	return d.store.State(), err
}
