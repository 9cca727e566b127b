package spec

import (
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

var envForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// envPositions finds where each element of an env written as { ... } stands,
// and reports names written twice.
func envPositions(arg *argument, rep *report) map[string]hcl.Range {
	if arg == nil {
		return nil
	}
	pairs, diags := hcl.ExprMap(arg.expr)
	if diags.HasErrors() {
		return nil
	}
	at := map[string]hcl.Range{}
	for _, pair := range pairs {
		key, diags := pair.Key.Value(nil)
		if diags.HasErrors() || key.Type() != cty.String || !key.IsKnown() || key.IsNull() || key.IsMarked() {
			continue
		}
		name := key.AsString()
		if first, twice := at[name]; twice {
			rep.fail(pair.Key.Range(), "Duplicate env", "%s has a value already at %s. Take one of the two out.", name, place(first))
			continue
		}
		at[name] = hcl.RangeBetween(pair.Key.Range(), pair.Value.Range())
	}
	return at
}

// env reads the environment, element by element: one of them may be known
// after apply, or be secret, without the others.
func (i *instance) env() {
	arg := i.node.block.args["env"]
	if arg == nil {
		return
	}
	v, ok := i.value(arg, i.ctx)
	if !ok {
		i.failed = true
		return
	}
	v, marks := v.Unmark()
	switch {
	case v.IsNull():
		return
	case !v.IsKnown():
		i.origin("env", arg.at)
		if !i.node.tainted {
			i.note(&i.vm.Unknown, "env")
		}
		return
	case !v.Type().IsMapType() && !v.Type().IsObjectType():
		i.wrong(i.node.block, "env", "Wrong type", "It is a map of names and values. Write: env = { NAME = \"value\" }")
		return
	}
	elements, key, err := asStrings(v)
	if err != nil {
		i.failed = true
		i.fail(i.envRange(key), "Wrong type", "The value of %s must be a string: %s. Write, for example, jsonencode(...) around it.", key, err)
		return
	}
	for _, name := range sortedKeys(elements) {
		i.envElement(name, elements[name], len(marks) > 0)
	}
}

func (i *instance) envElement(name string, v cty.Value, hidden bool) {
	if !envForm.MatchString(name) {
		i.failed = true
		i.fail(i.envRange(name), "Invalid env name", "%q cannot name an environment variable: those are letters, digits and _, not starting with a digit.%s", name, envOffer(name))
		return
	}
	v, secret := reveal(v)
	if v.IsNull() {
		return
	}
	path := "env." + name
	i.origin(path, i.envRange(name))
	if hidden || secret {
		i.note(&i.vm.Sensitive, path)
	}
	if !v.IsKnown() {
		if !i.node.tainted {
			i.vm.Unknown = append(i.vm.Unknown, path)
		}
		return
	}
	if strings.ContainsRune(v.AsString(), 0) {
		i.failed = true
		i.fail(i.envRange(name), "Invalid env value", "The value of %s contains a zero byte, which no environment can hold. Take it out.", name)
		return
	}
	if i.vm.Env == nil {
		i.vm.Env = map[string]string{}
	}
	i.vm.Env[name] = v.AsString()
}

func envOffer(name string) string {
	fixed := strings.Map(func(r rune) rune {
		if envForm.MatchString("_" + string(r)) {
			return r
		}
		return '_'
	}, name)
	if !envForm.MatchString(fixed) {
		return " Write another name."
	}
	return " Did you mean " + fixed + "?"
}

func (i *instance) envRange(name string) hcl.Range {
	if at, ok := i.envAt[name]; ok {
		return at
	}
	return i.node.block.args["env"].expr.Range()
}
