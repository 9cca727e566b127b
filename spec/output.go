package spec

import (
	"github.com/zclconf/go-cty/cty"
)

// output evaluates an output. It is unknown while any part of it is.
func (e *evaluator) output(n *node) {
	if n.value = cty.DynamicVal; e.declared.within != "" {
		e.moduleOutput(n)
		return
	}
	out := Output{
		Name:        n.name,
		Description: e.constantText(n.block.args["description"]),
		Sensitive:   e.flag(n, "sensitive", false),
		Origin:      position(n.block.at),
	}
	arg := n.block.args["value"]
	if arg == nil {
		return
	}
	ctx := e.scope(n)
	v, ok := e.value(arg, ctx)
	if !ok {
		return
	}
	if e.kept(arg, v) {
		return
	}
	v, hidden := reveal(v)
	if hidden && !out.Sensitive {
		e.fail(arg.expr.Range(), "Sensitive output", "The value contains a sensitive variable. Add to the output: sensitive = true. Or use nonsensitive() if it may be seen.")
	}
	if out.Known = v.IsWhollyKnown(); out.Known {
		out.Value = plain(v)
	}
	e.stack.Outputs[n.name] = out
}

// moduleOutput evaluates an output of a module, which may hold anything.
func (e *evaluator) moduleOutput(n *node) {
	e.constantText(n.block.args["description"])
	arg := n.block.args["value"]
	if arg == nil {
		n.tainted = true
		return
	}
	v, ok := e.value(arg, e.scope(n))
	if !ok {
		n.tainted = true
		return
	}
	if n.value = v; e.flag(n, "sensitive", false) {
		n.value = v.Mark(sensitive)
	}
}

// plain is a known value as ordinary Go data.
func plain(v cty.Value) any {
	ty := v.Type()
	switch {
	case v.IsNull():
		return nil
	case ty == cty.String:
		return v.AsString()
	case ty == cty.Bool:
		return v.True()
	case ty == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return f
	case ty.IsMapType() || ty.IsObjectType():
		out := map[string]any{}
		for key, element := range v.AsValueMap() {
			out[key] = plain(element)
		}
		return out
	case ty.IsListType() || ty.IsSetType() || ty.IsTupleType():
		out := []any{}
		for _, element := range v.AsValueSlice() {
			out = append(out, plain(element))
		}
		return out
	}
	return nil
}
