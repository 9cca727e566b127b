package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// variable evaluates a variable: its given value or its default, in its type,
// past its validations.
func (e *evaluator) variable(n *node) {
	ty, defaults, typed := e.variableType(n)
	hidden := e.flag(n, "sensitive", false)
	value, at, ok := e.variableValue(n, ty, defaults, typed)
	n.from = position(at)
	if given, isGiven := e.given[n.name]; isGiven {
		n.from = given.origin()
	}
	if ok {
		value, ok = e.notNull(n, value, at)
	}
	if hidden {
		at = n.block.at // the line of the value would show it
	}
	if ok {
		value, ok = e.shape(n, value, ty, defaults, at)
	}
	if !ok || !typed {
		n.tainted = true
		value = cty.DynamicVal
	}
	if hidden {
		value = value.Mark(sensitive)
	}
	if e.flag(n, "ephemeral", false) {
		value = value.Mark(ephemeral)
	}
	n.value = value
	e.constantText(n.block.args["description"])
	for _, b := range n.block.blocks["validation"] {
		e.validate(n, b, at)
	}
}

func (e *evaluator) variableType(n *node) (cty.Type, *typeexpr.Defaults, bool) {
	arg := n.block.args["type"]
	if arg == nil {
		return cty.DynamicPseudoType, nil, true
	}
	ty, defaults, diags := typeexpr.TypeConstraintWithDefaults(arg.expr)
	e.add(diags...)
	return ty, defaults, !diags.HasErrors()
}

// variableValue finds the value as given, and where.
func (e *evaluator) variableValue(n *node, ty cty.Type, defaults *typeexpr.Defaults, typed bool) (cty.Value, hcl.Range, bool) {
	arg := n.block.args["default"]
	fallback, ok := cty.DynamicVal, true
	if arg != nil {
		fallback, ok = e.value(arg, e.constants())
		if ok && typed {
			ok = e.fits(fallback, ty, defaults, arg)
		}
	}
	given, isGiven := e.given[n.name]
	if isGiven {
		value, good := given.value(ty, e)
		return value, given.at, good && ok
	}
	if arg == nil {
		e.fail(n.block.at, "Variable without a value", "%s has no default and was given no value. Pass one with --var %s=..., or set LKUP_VAR_%s, or write: default = ...", n.address(), n.name, n.name)
		return cty.DynamicVal, n.block.at, false
	}
	return fallback, arg.expr.Range(), ok
}

// fits reports whether a default has the variable's type, whoever uses it.
func (e *evaluator) fits(v cty.Value, ty cty.Type, defaults *typeexpr.Defaults, arg *argument) bool {
	if v.IsNull() {
		return true
	}
	if defaults != nil {
		v = defaults.Apply(v)
	}
	if _, err := convert.Convert(v, ty); err != nil {
		e.fail(arg.expr.Range(), "Wrong type", "The default does not have the type %s: %s. Change it or the type.", typeexpr.TypeString(ty), err)
		return false
	}
	return true
}

// notNull puts the default in the place of a null that is not allowed.
func (e *evaluator) notNull(n *node, v cty.Value, at hcl.Range) (cty.Value, bool) {
	if !v.IsNull() || e.flag(n, "nullable", true) {
		return v, true
	}
	if arg := n.block.args["default"]; arg != nil {
		if fallback, ok := e.value(arg, e.constants()); !ok || !fallback.IsNull() {
			return fallback, ok
		}
	}
	e.fail(at, "Variable without a value", "%s is not nullable, so it cannot be null. Give it another value.", n.address())
	return cty.DynamicVal, false
}

// shape converts a value to the variable's type.
func (e *evaluator) shape(n *node, v cty.Value, ty cty.Type, defaults *typeexpr.Defaults, at hcl.Range) (cty.Value, bool) {
	if defaults != nil && !v.IsNull() {
		v = defaults.Apply(v)
	}
	out, err := convert.Convert(v, ty)
	if err != nil {
		e.fail(at, "Wrong type", "The value of %s must be %s, as declared at %s: %s.", n.address(), typeexpr.TypeString(ty), place(n.block.at), err)
		return cty.DynamicVal, false
	}
	return out, true
}

// flag reads a constant true or false.
func (e *evaluator) flag(n *node, name string, otherwise bool) bool {
	return e.constantFlag(n.block.args[name], otherwise)
}

// constantText reads a constant string, or "".
func (e *evaluator) constantText(arg *argument) string {
	if arg == nil {
		return ""
	}
	v, ok := e.value(arg, e.constants())
	if ok {
		v, ok = e.convert(arg, v, cty.String, nil)
	}
	if !ok || v.IsNull() || !v.IsKnown() {
		return ""
	}
	v, _ = reveal(v)
	return v.AsString()
}

// validate applies one validation block. at is where the value came from.
func (e *evaluator) validate(n *node, b *block, at hcl.Range) {
	condition, message := b.args["condition"], b.args["error_message"]
	if condition == nil || message == nil {
		return
	}
	ctx := e.scope(n)
	vars := map[string]cty.Value{n.name: n.value}
	for _, edge := range n.edges {
		if edge.to.kind == "variable" {
			vars[edge.to.name] = edge.to.value
		}
	}
	ctx.Variables["var"] = cty.ObjectVal(vars)
	holds, ok := e.value(condition, ctx)
	if ok {
		holds, ok = e.convert(condition, holds, cty.Bool, ctx)
	}
	text, textOK := e.value(message, ctx)
	if textOK {
		text, textOK = e.convert(message, text, cty.String, ctx)
	}
	if !ok || !textOK {
		n.tainted = true
		return
	}
	holds, _ = reveal(holds)
	text, hidden := reveal(text)
	if hidden {
		text = cty.StringVal("It is not valid; the message about it is sensitive.")
	}
	switch {
	case !holds.IsKnown() || !text.IsKnown():
		if !n.tainted && e.declared.within == "" {
			e.notKnown(n, condition, ctx)
		}
	case holds.IsNull():
		e.mistake(condition, ctx, "Wrong type", "A condition is true or false, not null.")
	case holds.False():
		n.tainted = true
		e.fail(at, "Invalid value for variable", "%s\n\nThis is what %s says about %s.", orText(text, "It is not valid."), place(b.at), n.address())
	}
}

func orText(v cty.Value, otherwise string) string {
	if v.IsNull() || v.AsString() == "" {
		return otherwise
	}
	return v.AsString()
}
