package main

import (
	"github.com/lkup/lkup/internal/view"
)

// showCmd shows a saved plan as lkup plan showed it.
type showCmd struct {
	JSON bool   `name:"json" help:"Print the plan as JSON, as lkup plan --json does."`
	Plan string `arg:"" help:"A plan saved by lkup plan --out FILE."`
}

func (c *showCmd) Run(call *call) error {
	saved, err := readSaved(c.Plan)
	if err != nil {
		return err
	}
	if c.JSON {
		return view.PlanJSON(call.Out, &saved.Plan)
	}
	return view.Plan(call.Out, call.outStyle(), &saved.Plan)
}
