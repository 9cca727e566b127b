package main

import (
	"runtime"

	"github.com/lkup/lkup/internal/view"
)

type versionCmd struct {
	JSON bool `help:"Print JSON." name:"json"`
}

func (c *versionCmd) Run(call *call) error {
	v := view.Version{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if c.JSON {
		return view.VersionJSON(call.Out, v)
	}
	return view.VersionText(call.Out, v)
}
