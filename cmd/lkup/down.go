package main

import (
	"fmt"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type downCmd struct {
	dirFlag
	applyFlags
	Target []spec.Address `name:"target" sep:"none" placeholder:"ADDRESS" help:"Take down only this and what depends on it. May be repeated."`
}

// Run needs no stack file: what to take down stands in the state.
func (c *downCmd) Run(call *call) error {
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
	err = c.execute(call, execution{
		reconciler: newReconciler(call.Host, paths, known.Project, nil, store),
		plan:       plan,
		command:    "down",
	})
	if err != nil || len(c.Target) > 0 {
		return err
	}
	if err := store.Remove(); err != nil {
		return fmt.Errorf("forget the stack: %w", err)
	}
	return nil
}
