package main

import (
	"fmt"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type downCmd struct {
	dirFlag
	applyFlags
	graceFlag
	Volumes bool           `name:"volumes" help:"Destroy the stack's volumes, too. It asks, with their sizes, unless -y."`
	Target  []spec.Address `name:"target" sep:"none" placeholder:"ADDRESS" help:"Take down only this and what depends on it. May be repeated."`
}

// Run needs no stack file: what to take down stands in the state.
func (c *downCmd) Run(call *call) error {
	if c.Volumes && len(c.Target) > 0 {
		return usageError{"--volumes destroys all volumes of the stack; to destroy some, take down what has them, and type lkup volume rm"}
	}
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	store, err := lockStack(call, paths, known.Stack, known.Project, "down", c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	all := allDrivers(call.Host)
	now, err := reconciler.Observe(call.ctx, store.State(), paths, all)
	if err != nil {
		return err
	}
	plan := planner.New(planner.Input{
		Stack:     &spec.Stack{Name: known.Stack},
		Abilities: abilities(call.Host),
		Inventory: now,
		Outputs:   known.Outputs,
		Targets:   c.Target,
		Destroy:   true,
	})
	if c.Volumes {
		if err := c.askVolumes(call, plan, paths, store.State()); err != nil {
			return err
		}
	}
	r := newReconciler(call.Host, paths, known.Project, nil, store)
	r.Grace = c.grace()
	err = c.execute(call, execution{reconciler: r, plan: plan, command: "down"})
	if err != nil || len(c.Target) > 0 {
		return err
	}
	if c.Volumes {
		if err := removeVolumes(call, store, sortedKeys(store.State().Volumes)); err != nil {
			return err
		}
	}
	if err := store.Remove(); err != nil {
		return fmt.Errorf("forget the stack: %w", err)
	}
	return nil
}

// askVolumes names all that goes, volumes with their sizes, and is the only
// question then.
func (c *downCmd) askVolumes(call *call, plan *planner.Plan, paths layout.Stack, known state.State) error {
	rows, err := volumeRows(paths, known)
	if err != nil || len(rows) == 0 || c.AutoApprove {
		return err
	}
	doomed := view.VolumeSizes(rows)
	if machines := plan.Destroys(); len(machines) > 0 {
		doomed = view.List(machines) + ", with " + doomed
	}
	c.AutoApprove = true
	return confirm(call, "this destroys "+doomed)
}
