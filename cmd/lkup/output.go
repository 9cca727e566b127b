package main

import (
	"fmt"
	"slices"

	"github.com/lkup/lkup/internal/view"
)

type outputCmd struct {
	dirFlag
	Name string `arg:"" optional:"" help:"Print this output's value alone, sensitive or not."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints the outputs as the last apply recorded them.
func (c *outputCmd) Run(call *call) error {
	_, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	if c.Name == "" {
		rows := view.OutputsOf(known.Outputs)
		for n, row := range rows {
			rows[n].Sensitive = slices.Contains(known.Sensitive, row.Name)
		}
		if c.JSON {
			return view.OutputsJSON(call.Out, rows)
		}
		return view.Outputs(call.Out, call.outStyle(), rows)
	}
	value, found := known.Outputs[c.Name]
	if !found {
		return fmt.Errorf("stack %s has no output %q; lkup output lists them", known.Stack, c.Name)
	}
	return view.OutputValue(call.Out, value, c.JSON)
}
