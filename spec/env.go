package spec

import (
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// validEnvName says whether every shell takes the name.
func validEnvName(name string) bool {
	for i, r := range name {
		letter := r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '_'
		if digit := r >= '0' && r <= '9'; !letter && (!digit || i == 0) {
			return false
		}
	}
	return name != ""
}

// splitEnv makes an argument of each element of an env written as { ... }, and
// reports names written twice. Any other env it leaves whole, by giving nil.
func splitEnv(env *argument, rep *report) []*argument {
	if env == nil || env.wrong {
		return nil
	}
	pairs, diags := hcl.ExprMap(env.expr)
	if diags.HasErrors() {
		return nil
	}
	args := []*argument{}
	written := map[string]hcl.Range{}
	for _, pair := range pairs {
		key, diags := pair.Key.Value(nil)
		if diags.HasErrors() || key.Type() != cty.String || !key.IsKnown() || key.IsNull() || key.IsMarked() {
			return nil
		}
		name := key.AsString()
		if first, twice := written[name]; twice {
			rep.fail(pair.Key.Range(), "Duplicate env", "%s has a value already at %s. Take one of the two out.", name, place(first))
			continue
		}
		written[name] = pair.Key.Range()
		args = append(args, &argument{
			name: name, at: hcl.RangeBetween(pair.Key.Range(), pair.Value.Range()),
			expr: pair.Value, refs: refsIn(env, pair.Value), varies: varies(pair.Value),
		})
	}
	return args
}

// refsIn are those of an argument's references that stand in a part of it.
func refsIn(arg *argument, part hcl.Expression) []reference {
	names := map[string]bool{}
	for _, t := range part.Variables() {
		names[twoSteps(t)] = true
	}
	var refs []reference
	for _, ref := range arg.refs {
		if names[twoSteps(ref.traversal)] {
			refs = append(refs, ref)
		}
	}
	return refs
}

// twoSteps is the start of a reference: var.branch.
func twoSteps(t hcl.Traversal) string {
	if len(t) < 2 {
		return t.RootName()
	}
	step, _ := t[1].(hcl.TraverseAttr)
	return t.RootName() + "." + step.Name
}

func varies(expr hcl.Expression) bool {
	for _, t := range expr.Variables() {
		if root := t.RootName(); root == "each" || root == "count" {
			return true
		}
	}
	return false
}

// env reads the environment, element by element: one of them may be known
// after apply, or be secret, without the others.
func (i *instance) env() {
	if i.node.env != nil {
		for _, arg := range i.node.env {
			if v, ok := i.value(arg, i.ctx); ok {
				i.envElement(arg.name, v, arg.at, nil)
			} else {
				i.failed = true
			}
		}
		return
	}
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
	case !v.IsKnown():
		i.origin("env", arg.at)
		if !i.node.tainted {
			i.note(&i.vm.Unknown, "env")
		}
	case !v.Type().IsMapType() && !v.Type().IsObjectType():
		i.wrong(i.node.block, "env", "Wrong type", "It is a map of names and values. Write: env = { NAME = \"value\" }")
	default:
		elements := v.AsValueMap()
		for _, name := range sortedKeys(elements) {
			i.envElement(name, elements[name], arg.expr.Range(), marks)
		}
	}
}

func (i *instance) envElement(name string, v cty.Value, at hcl.Range, outer cty.ValueMarks) {
	if !validEnvName(name) {
		i.failed = true
		i.fail(at, "Invalid env name", "%q cannot name an environment variable: those are letters, digits and _, not starting with a digit.%s", name, envOffer(name))
		return
	}
	v, err := textOf(v)
	if err != nil {
		i.failed = true
		i.fail(at, "Wrong type", "The value of %s must be a string: %s. Write, for example, jsonencode(...) around it.", name, err)
		return
	}
	v, marks := v.WithMarks(outer).UnmarkDeep()
	if v.IsNull() {
		return
	}
	path := "env." + name
	i.origin(path, at)
	_, secret := marks[ephemeral]
	if len(marks) > 0 {
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
		i.fail(at, "Invalid env value", "The value of %s contains a zero byte, which no environment can hold. Take it out.", name)
		return
	}
	if secret {
		if i.vm.Secrets == nil {
			i.vm.Secrets = map[string]Secret{}
		}
		i.vm.Secrets[name] = Secret{Value: v.AsString()}
		return
	}
	if i.vm.Env == nil {
		i.vm.Env = map[string]string{}
	}
	i.vm.Env[name] = v.AsString()
}

// textOf is convert.Convert to a string, with a short way for small numbers:
// count.index is in many values.
func textOf(v cty.Value) (cty.Value, error) {
	if !v.IsMarked() && v.IsKnown() && !v.IsNull() && v.Type() == cty.Number {
		if n, accuracy := v.AsBigFloat().Int64(); accuracy == big.Exact {
			return cty.StringVal(strconv.FormatInt(n, 10)), nil
		}
	}
	return convert.Convert(v, cty.String)
}

// labels reads the labels, which a guest never sees.
func (i *instance) labels() {
	v, state := i.get(i.node.block, "labels", "labels", cty.Map(cty.String))
	if state != present {
		return
	}
	i.vm.Labels = stringMap(v)
	for name := range i.vm.Labels {
		i.origin("labels."+name, i.node.block.args["labels"].at)
		if slices.Contains(i.vm.Sensitive, "labels") {
			i.note(&i.vm.Sensitive, "labels."+name)
		}
		if name == "" || strings.ContainsFunc(name, unprintable) {
			i.wrong(i.node.block, "labels", "Invalid label", "The label %q is empty or cannot be printed. Write letters, digits, dots and hyphens.", name)
		}
	}
}

func envOffer(name string) string {
	fixed := strings.Map(func(r rune) rune {
		if validEnvName("_" + string(r)) {
			return r
		}
		return '_'
	}, name)
	if !validEnvName(fixed) {
		return " Write another name."
	}
	return " Did you mean " + fixed + "?"
}
