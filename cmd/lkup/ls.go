package main

import (
	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
)

type lsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *lsCmd) Run(call *call) error {
	stacks, err := state.List(call.Layout())
	if err != nil {
		return err
	}
	var rows []view.LsRow
	for _, known := range stacks {
		paths := call.Layout().Stack(known.Stack, known.Project)
		now, err := reconciler.Observe(call.ctx, known, paths, allDrivers(call.Host))
		if err != nil {
			return err
		}
		row := view.LsRow{Stack: known.Stack, ID: known.StackID, Project: known.Project, Machines: len(now)}
		for _, i := range now {
			if i.Status.State == drivers.Running {
				row.Running++
			}
		}
		rows = append(rows, row)
	}
	if c.JSON {
		return view.LsJSON(call.Out, rows)
	}
	return view.LsText(call.Out, call.outStyle(), rows)
}
