package spec

import (
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// check evaluates the assertions of a check block, up to the first that fails.
func (e *evaluator) check(n *node) {
	n.value = cty.DynamicVal
	c := Check{Name: strings.TrimPrefix(string(n.address()), "check."), Passed: true, Known: true, Origin: position(n.block.at)}
	if len(n.block.blocks["assert"]) == 0 {
		e.fail(n.block.at, "Missing assert", "A check block asserts something. Add: assert { %s }", assertSchema.required["condition"])
		return
	}
	for _, b := range n.block.blocks["assert"] {
		holds, known, text := e.assertion(n, b)
		switch {
		case !known:
			c.Known = false
		case !holds && c.Passed:
			c.Passed, c.Message, c.Origin = false, text, position(b.at)
		}
	}
	e.stack.Checks = append(e.stack.Checks, c)
}

// assertion evaluates one assert block. What cannot be evaluated is reported,
// and not known.
func (e *evaluator) assertion(n *node, b *block) (holds, known bool, text string) {
	condition, message := b.args["condition"], b.args["error_message"]
	if condition == nil || message == nil {
		return false, false, ""
	}
	ctx := e.scope(n)
	result, ok := e.value(condition, ctx)
	if ok {
		result, ok = e.convert(condition, result, cty.Bool, ctx)
	}
	said, saidOK := e.value(message, ctx)
	if saidOK {
		said, saidOK = e.convert(message, said, cty.String, ctx)
	}
	if !ok || !saidOK {
		return false, false, ""
	}
	result, _ = reveal(result)
	said, hidden := reveal(said)
	switch {
	case !result.IsKnown():
		return false, false, ""
	case result.IsNull():
		e.mistake(condition, ctx, "Wrong type", "A condition is true or false, not null.")
		return false, false, ""
	case hidden || !said.IsKnown():
		return result.True(), true, "It does not hold."
	}
	return result.True(), true, orText(said, "It does not hold.")
}
