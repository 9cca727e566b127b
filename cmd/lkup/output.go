package main

import (
	"fmt"

	"github.com/lkup/lkup/internal/view"
)

type outputCmd struct {
	dirFlag
	Name string `arg:"" optional:"" help:"Print this output's value alone."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints the outputs as the last apply recorded them.
func (c *outputCmd) Run(call *call) error {
	_, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	if c.Name == "" {
		if c.JSON {
			return view.OutputsJSON(call.Out, view.OutputsOf(known.Outputs))
		}
		return view.Outputs(call.Out, call.outStyle(), view.OutputsOf(known.Outputs))
	}
	value, found := known.Outputs[c.Name]
	if !found {
		return fmt.Errorf("stack %s has no output %q; lkup output lists them", known.Stack, c.Name)
	}
	return view.OutputValue(call.Out, value, c.JSON)
}
