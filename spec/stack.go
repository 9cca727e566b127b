package spec

import (
	"github.com/hashicorp/go-version"
)

// identify gives the stack its name and checks that this lkup may run it.
func (e *evaluator) identify() {
	e.stack.Name = StackName(e.in.DefaultName)
	if e.declared.stack == nil {
		return
	}
	if e.declared.stack.name != "" {
		e.stack.Name = e.declared.stack.name
	}
	arg := e.declared.stack.args["required_version"]
	text := e.constantText(arg)
	if text == "" {
		return
	}
	constraints, err := version.NewConstraint(text)
	if err != nil {
		e.mistake(arg, nil, "Invalid version constraint", "%q is no version constraint. Write, for example: required_version = \">= 0.1\"", text)
		return
	}
	own, err := version.NewVersion(e.in.Version)
	if err != nil {
		return // a build of no released version satisfies everyone
	}
	if !constraints.Check(own.Core()) {
		e.mistake(arg, nil, "Wrong version of lkup", "This stack wants lkup %s, and this is lkup %s. Install a version that fits, or change required_version.", text, e.in.Version)
	}
}

// warnUnused finds declarations that nothing refers to.
// Beside errors it would mislead: a misspelt reference makes two mistakes of one.
func (e *evaluator) warnUnused() {
	if e.diags.HasErrors() {
		return
	}
	for _, n := range e.declared.all() {
		if n.used {
			continue
		}
		switch n.kind {
		case "variable", "local", "image", "template", "volume", "network", "secret":
			e.warn(n.at(), "Unused "+n.kind, "Nothing refers to %s. Use it or take it out.", n.address())
		}
	}
}

// StackName makes a stack's name of a directory's: a label that fits into
// hostnames.
func StackName(dir string) string {
	name := hostLabel(dir)
	if len(name) > 63 {
		name = hostLabel(name[:63])
	}
	if name == "" {
		return "stack"
	}
	return name
}
