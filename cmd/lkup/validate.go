package main

import (
	"errors"
	"fmt"

	"github.com/lkup/lkup/internal/view"
)

type validateCmd struct {
	stackFlags
	JSON bool `name:"json" help:"Print the diagnostics as JSON."`
}

func (c *validateCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	var invalid *invalidStack
	if c.JSON && errors.As(err, &invalid) {
		if err := view.DiagnosticsJSON(call.Out, invalid.diags); err != nil {
			return err
		}
		return exitError(exitInvalid)
	}
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.checkDrivers(call.Host); err != nil {
		return err
	}
	if err := p.checkFiles(call.Host); err != nil {
		return err
	}
	warnings, err := p.checkTemplates(call.Host)
	if err != nil {
		return err
	}
	if c.JSON {
		return view.DiagnosticsJSON(call.Out, warnings)
	}
	view.Diagnostics(call.Err, call.errStyle(), p.sources, warnings)
	fmt.Fprintf(call.Out, "Stack %q is valid: %s.\n", p.stack.Name, view.Count(len(p.stack.VMs), "machine"))
	return nil
}
