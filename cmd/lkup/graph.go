package main

import (
	"github.com/lkup/lkup/internal/view"
)

type graphCmd struct {
	stackFlags
	Format string `name:"format" enum:"dot,mermaid,json" default:"dot" placeholder:"FORMAT" help:"dot for Graphviz, mermaid, or json."`
}

// Run reads the stack files and nothing else.
func (c *graphCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	g := view.GraphOf(p.stack)
	switch c.Format {
	case "mermaid":
		return g.Mermaid(call.Out)
	case "json":
		return g.JSON(call.Out)
	}
	return g.Dot(call.Out)
}
