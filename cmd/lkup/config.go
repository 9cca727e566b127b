package main

import (
	"github.com/lkup/lkup/internal/view"
)

type configCmd struct {
	stackFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run reads the stack files and nothing else.
func (c *configCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	if c.JSON {
		return view.ConfigJSON(call.Out, p.stack)
	}
	return view.Config(call.Out, p.stack)
}

type schemaCmd struct {
	JSON bool `name:"json" help:"Print JSON Schema; there is no other form."`
}

func (c *schemaCmd) Run(call *call) error {
	return view.Schema(call.Out)
}
