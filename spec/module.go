package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// openModules reads the stack files that module blocks name, and of those in
// them, so that references to their outputs can be checked. through are the
// directories on the way there.
func (e *evaluator) openModules(d *declarations, through []string) {
	through = append(slices.Clone(through), d.dir)
	for _, name := range d.names("module") {
		n := d.nodes["module"][name]
		arg := n.block.args["source"]
		if arg == nil {
			n.tainted = true
			continue
		}
		dir, problem := e.moduleDir(d.dir, arg)
		if problem == "" && slices.Contains(through, dir) {
			problem = fmt.Sprintf("%s is the directory of this module itself, or of one around it, so it would never end. Name another one.", dir)
		}
		if problem != "" {
			n.tainted = true
			e.fail(arg.expr.Range(), "Invalid module source", "%s", problem)
			continue
		}
		bodies := e.reader.stackBodies(dir, nil, e.report)
		if n.inside = declare(bodies, dir, n.address(), e.report); bodies == nil {
			n.tainted = true
			n.inside = nil
			continue
		}
		e.openModules(n.inside, through)
	}
}

// moduleDir is the directory that a module's source names, or what is wrong.
func (e *evaluator) moduleDir(from string, arg *argument) (dir, problem string) {
	source := e.constantText(arg)
	switch {
	case source == "":
		return "", `It is the path of a directory, as a constant. Write, for example: source = "./modules/web"`
	case !strings.HasPrefix(source, "./") && !strings.HasPrefix(source, "../"):
		return "", fmt.Sprintf("A module is a directory of this project. Write: source = %q", "./"+strings.TrimPrefix(path.Clean("/"+source), "/"))
	}
	dir = path.Join(from, source)
	if !fs.ValidPath(dir) {
		return "", fmt.Sprintf("%q leads out of the project, and a stack reads only files of its project; copy it there.", source)
	}
	names, err := stackFilesIn(e.reader.project, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Sprintf("There is no directory %q. Paths are relative to the directory of this file.", dir)
	case err != nil:
		return "", fmt.Sprintf("%q cannot be read: %s.", dir, cause(err))
	case len(names) == 0:
		return "", fmt.Sprintf("The directory %q has no lkup.hcl and no *.lkup.hcl. Write one there, or name another directory.", dir)
	}
	return dir, ""
}

// moduleArguments are those of a module block that are lkup's.
var moduleArguments = []string{"source", "for_each", "count", "depends_on"}

// linkModule checks a module block's arguments against the module's variables.
func (l *linker) linkModule(n *node) {
	if n.inside == nil {
		return
	}
	variables := n.inside.nodes["var"]
	for _, name := range sortedKeys(n.block.args) {
		if slices.Contains(moduleArguments, name) || variables[name] != nil {
			continue
		}
		n.block.args[name].wrong = true
		hint := didYouMean("", name, append(n.inside.names("var"), moduleArguments...))
		if hint == "" {
			hint = fmt.Sprintf(" It takes %s. Take this out, or declare it there: variable %q {}", listed(n.inside.names("var")), name)
		}
		l.fail(n.block.args[name].at, "Unknown argument", "The module %s declares no variable %q.%s", n.inside.dir, name, hint)
	}
	for _, name := range sortedKeys(variables) {
		if n.block.args[name] == nil && variables[name].block.args["default"] == nil {
			n.tainted = true
			l.fail(n.block.at, "Missing "+name, "The module %s needs a value for var.%s (%s). Add: %s = ...", n.inside.dir, name, place(variables[name].at()), name)
		}
	}
}

// checkModule checks a reference to a module, and finds the output it means.
func (l *linker) checkModule(t hcl.Traversal, target *node) (output string, ok bool) {
	_, rest, ok := l.checkInstance(t, target)
	if !ok || len(rest) == 0 || target.inside == nil {
		return "", ok
	}
	step, isAttr := rest[0].(hcl.TraverseAttr)
	if !isAttr {
		return "", true
	}
	outputs := target.inside.nodes["output"]
	if outputs[step.Name] == nil {
		hint := didYouMean("", step.Name, sortedKeys(outputs))
		if hint == "" {
			hint = fmt.Sprintf(" It has %s. To add one, write in %s: output %q { value = ... }", listed(sortedKeys(outputs)), target.inside.dir, step.Name)
		}
		l.fail(t.SourceRange(), "Unknown output", "%s has no output %q.%s", target.address(), step.Name, hint)
		return "", false
	}
	return step.Name, true
}

// outputOf is the output that a reference to a module means, or "".
func outputOf(t hcl.Traversal) string {
	for _, step := range t[min(2, len(t)):] {
		if attr, ok := step.(hcl.TraverseAttr); ok {
			return attr.Name
		}
	}
	return ""
}

// module evaluates every instance of a module block.
func (e *evaluator) module(n *node) {
	n.value = cty.DynamicVal
	n.behindOutput, n.keysOfOutput = map[string]map[behind]bool{}, map[string]map[string]bool{}
	if n.tainted || n.inside == nil {
		n.tainted = true
		return
	}
	scope := e.scope(n)
	each, ok := e.repetitions(n, scope)
	n.tainted = n.tainted || !ok
	after := e.moduleAfter(n)
	values := make([]cty.Value, 0, len(each))
	for _, r := range each {
		ctx := scope
		if r.variables != nil {
			ctx = scope.NewChild()
			ctx.Variables = r.variables
		}
		values = append(values, e.enter(n, r, ctx, after))
	}
	if ok {
		n.value = together(n, each, values)
	}
}

// moduleAfter are the VMs that all VMs of a module come after.
func (e *evaluator) moduleAfter(n *node) map[behind]bool {
	after := maps.Clone(e.after)
	if after == nil {
		after = map[behind]bool{}
	}
	arg := n.block.args["depends_on"]
	if arg == nil {
		return after
	}
	for _, ref := range arg.refs {
		for _, edge := range n.edges {
			if edge.to == ref.target && edge.at == ref.traversal.SourceRange() {
				after[behind{edge.to, edge.instance}] = edge.to.kind == "vm"
				for _, member := range edge.to.members {
					after[behind{vm: member}] = true
				}
			}
		}
	}
	maps.DeleteFunc(after, func(_ behind, keep bool) bool { return !keep })
	return after
}

// enter evaluates one instance of a module, and gives its outputs. It is
// declared anew, because an expression keeps its value.
func (e *evaluator) enter(n *node, r repetition, ctx *hcl.EvalContext, after map[behind]bool) cty.Value {
	child := *e
	child.after, child.through = after, append(slices.Clone(e.through), e.declared.dir)
	child.declared = declare(e.reader.bodies[n.inside.dir], n.inside.dir, r.address, e.report)
	child.openModules(child.declared, child.through)
	child.link(child.declared)
	child.given = map[string]givenValue{}
	for name := range child.declared.nodes["var"] {
		if arg := n.block.args[name]; arg != nil {
			child.given[name] = e.pass(n, arg, ctx)
		}
	}
	child.evaluateAll(order(child.declared.all(), e.report))
	child.statements()
	child.warnUnused()
	child.madeOf()
	return child.leave(n)
}

// pass evaluates an argument of a module block.
func (e *evaluator) pass(n *node, arg *argument, ctx *hcl.EvalContext) givenValue {
	g := givenValue{at: arg.expr.Range(), expr: arg.expr, behind: map[behind]bool{}}
	var ok bool
	if g.known, ok = e.value(arg, ctx); !ok {
		n.tainted = true
	}
	for _, ref := range arg.refs {
		for _, edge := range n.edges {
			if edge.to == ref.target && edge.at == ref.traversal.SourceRange() {
				edge.addBehind(g.behind)
			}
		}
	}
	keys := map[string]bool{}
	e.keysOfArgument(n, n.block, arg, keys)
	g.keys = sorted(keys)
	return g
}

// leave gives a module's outputs to the node that stands for it outside.
func (e *evaluator) leave(n *node) cty.Value {
	for _, vm := range e.declared.nodes["vm"] {
		n.members = append(n.members, vm)
	}
	for _, inner := range e.declared.nodes["module"] {
		n.members = append(n.members, inner.members...)
	}
	outputs := map[string]cty.Value{}
	for name, out := range e.declared.nodes["output"] {
		n.tainted = n.tainted || out.tainted
		outputs[name] = out.value
		if n.behindOutput[name] == nil {
			n.behindOutput[name], n.keysOfOutput[name] = map[behind]bool{}, map[string]bool{}
		}
		maps.Copy(n.behindOutput[name], out.behind)
		for _, key := range e.keysOf(out) {
			n.keysOfOutput[name][key] = true
		}
	}
	for _, inner := range e.declared.all() {
		n.tainted = n.tainted || inner.tainted
	}
	return cty.ObjectVal(outputs)
}

// together joins the values of a block's instances as expressions see them.
func together(n *node, each []repetition, values []cty.Value) cty.Value {
	switch n.repeats() {
	case "for_each":
		byKey := make(map[string]cty.Value, len(each))
		for k, r := range each {
			byKey[r.key] = values[k]
		}
		return cty.ObjectVal(byKey)
	case "count":
		return cty.TupleVal(values)
	}
	return values[0]
}
