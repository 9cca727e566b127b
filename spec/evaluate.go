package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// mark is what a value tells of itself wherever it goes.
type mark string

const (
	sensitive mark = "sensitive" // no screen shows it
	ephemeral mark = "ephemeral" // nor is it kept anywhere
)

// evaluator turns declarations into a Stack, one node after the other, each
// behind all that it refers to.
type evaluator struct {
	*report
	declared  *declarations
	in        Inputs
	reader    *reader
	functions map[string]function.Function
	given     map[string]givenValue
	stack     *Stack
	claims    *claims
	// after are the VMs that a module's depends_on names.
	after map[behind]bool
	// through are the directories of the modules around this one.
	through []string
	// movedAt are the moved blocks, by their places.
	movedAt map[Pos]hcl.Range
}

func (e *evaluator) evaluateAll(nodes []*node) {
	for _, n := range nodes {
		inCycle := n.tainted
		e.inherit(n)
		if inCycle {
			n.value = cty.DynamicVal
			continue
		}
		e.evaluate(n)
	}
}

// inherit passes on what n's dependencies know: mistakes, and VMs behind values.
func (e *evaluator) inherit(n *node) {
	n.behind = map[behind]bool{}
	for _, edge := range n.edges {
		n.tainted = n.tainted || edge.to.tainted
		edge.addBehind(n.behind)
	}
	switch n.kind {
	case "variable":
		maps.Copy(n.behind, e.given[n.name].behind)
	case "vm", "module":
		maps.Copy(n.behind, e.after)
	}
}

// addBehind adds the VMs that a reference's value is made from.
func (e edge) addBehind(all map[behind]bool) {
	switch {
	case e.to.kind == "vm":
		all[behind{e.to, e.instance}] = true
	case e.output != "":
		maps.Copy(all, e.to.behindOutput[e.output])
	case e.to.kind == "module":
		for _, member := range e.to.members {
			all[behind{vm: member}] = true
		}
	default:
		maps.Copy(all, e.to.behind)
	}
}

func (e *evaluator) evaluate(n *node) {
	switch n.kind {
	case "variable":
		e.variable(n)
	case "local":
		n.value = e.localValue(n)
	case "image":
		e.image(n)
	case "template":
		e.template(n)
	case "volume":
		e.volume(n)
	case "network":
		e.network(n)
	case "vm":
		e.vm(n)
	case "module":
		e.module(n)
	case "secret":
		e.secret(n)
	case "check":
		e.check(n)
	case "output":
		e.output(n)
	}
}

func (e *evaluator) localValue(n *node) cty.Value {
	value, ok := e.value(n.local, e.scope(n))
	if !ok {
		n.tainted = true
	}
	return value
}

// scope holds the values of exactly what n refers to.
func (e *evaluator) scope(n *node) *hcl.EvalContext {
	values := map[string]map[string]cty.Value{
		"path":  {"root": cty.StringVal("."), "module": cty.StringVal(e.declared.dir)},
		"stack": {"name": cty.StringVal(e.stack.Name)},
	}
	for _, edge := range n.edges {
		root := edge.to.root()
		if values[root] == nil {
			values[root] = map[string]cty.Value{}
		}
		values[root][edge.to.name] = edge.to.value
	}
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: e.functions}
	for root, named := range values {
		ctx.Variables[root] = cty.ObjectVal(named)
	}
	return ctx
}

// constants is the scope of expressions that refer to nothing.
func (e *evaluator) constants() *hcl.EvalContext {
	return &hcl.EvalContext{Functions: e.functions}
}

// value evaluates an argument. After a mistake, which it reports, the value is
// unknown and ok is false. ctx is the same for all calls with one argument, but
// for each and count.
func (e *evaluator) value(arg *argument, ctx *hcl.EvalContext) (v cty.Value, ok bool) {
	switch {
	case arg.wrong:
		return cty.DynamicVal, false
	case arg.varies:
		return e.fresh(arg, ctx)
	case !arg.done:
		arg.value, arg.ok = e.fresh(arg, ctx)
		arg.done = true
	}
	return arg.value, arg.ok
}

func (e *evaluator) fresh(arg *argument, ctx *hcl.EvalContext) (v cty.Value, ok bool) {
	e.reader.reading = arg
	v, diags := arg.expr.Value(ctx)
	e.reader.reading = nil
	if !diags.HasErrors() {
		return v, true
	}
	for _, d := range diags {
		d = e.explain(d, arg)
		if secretive(arg.expr, ctx) {
			d.Detail = notShown
		}
		e.add(d)
	}
	return cty.DynamicVal, false
}

const notShown = "A sensitive value is in it, so the reason is not shown. Put nonsensitive() around the value, for a moment, to see it."

// secretive says that a text about the expression might give away a secret.
func secretive(expr hcl.Expression, ctx *hcl.EvalContext) bool {
	if ctx == nil {
		return false
	}
	for _, t := range expr.Variables() {
		if v, diags := t.TraverseAbs(ctx); !diags.HasErrors() && v.ContainsMarked() {
			return true
		}
	}
	return false
}

// convert gives v the type that arg must have.
func (e *evaluator) convert(arg *argument, v cty.Value, want cty.Type, ctx *hcl.EvalContext) (cty.Value, bool) {
	out, err := convert.Convert(v, want)
	if err != nil {
		e.mistake(arg, ctx, "Wrong type", "%q must be %s: %s.", arg.name, typeName(want), err)
		return cty.UnknownVal(want), false
	}
	return out, true
}

// mistake reports that an argument's value is wrong, and with which values of
// what it refers to.
func (e *evaluator) mistake(arg *argument, ctx *hcl.EvalContext, summary, detail string, args ...any) {
	d := problem(hcl.DiagError, arg.expr.Range(), summary, detail, args...)
	d.Expression, d.EvalContext = arg.expr, ctx
	if secretive(arg.expr, ctx) {
		d.Detail = notShown
	}
	e.add(d)
}

// notKnown reports a value that contains a host port which is chosen during
// apply, where that is too late.
func (e *evaluator) notKnown(n *node, arg *argument, ctx *hcl.EvalContext) {
	whose := map[string]bool{}
	for b := range n.behind {
		whose[string(b.vm.address())] = true
	}
	e.mistake(arg, ctx, "Not known yet", "%q must be known before apply, but it contains a host port of %s that is chosen then. Give that port a number, such as: host = 8080", arg.name, strings.Join(sortedKeys(whose), " or "))
}

func typeName(ty cty.Type) string {
	switch ty {
	case cty.String:
		return "a string"
	case cty.Number:
		return "a number"
	case cty.Bool:
		return "true or false"
	case cty.List(cty.String):
		return "a list of strings"
	case cty.Map(cty.String):
		return "a map of strings"
	}
	return ty.FriendlyName()
}

// reveal takes the marks off v and says whether one of them made it secret.
func reveal(v cty.Value) (cty.Value, bool) {
	if !v.ContainsMarked() {
		return v, false
	}
	v, _ = v.UnmarkDeep()
	return v, true
}

// wholeNumber reads a known number without a fraction that fits an int.
func wholeNumber(v cty.Value) (int, bool) {
	if v == cty.NilVal || v.IsMarked() || !v.IsKnown() || v.IsNull() || v.Type() != cty.Number {
		return 0, false
	}
	n, accuracy := v.AsBigFloat().Int64()
	return int(n), accuracy == 0 && v.AsBigFloat().IsInt()
}

// stringMap reads a known map or object of strings; null elements are left out.
func stringMap(v cty.Value) map[string]string {
	out := map[string]string{}
	for key, element := range v.AsValueMap() {
		if !element.IsNull() {
			out[key] = element.AsString()
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
