package spec

import (
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// vmAttributes are what an expression can read of a vm.
var vmAttributes = []string{"name", "hostname", "address", "port", "cpus", "memory", "env"}

// checkVM checks a reference to a vm as far as it can be known without
// evaluating, and finds the one instance that it means, if it does.
func (l *linker) checkVM(t hcl.Traversal, target *node) (Address, bool) {
	instance, rest, ok := l.checkInstance(t, target)
	if !ok || len(rest) == 0 {
		return instance, ok
	}
	return instance, l.checkVMAttribute(t, target, rest[0])
}

// checkInstance checks the index in a reference to a block, and gives the one
// instance that it means, if it does, and the steps behind that.
func (l *linker) checkInstance(t hcl.Traversal, target *node) (instance Address, rest hcl.Traversal, ok bool) {
	rest = t[2:]
	if len(rest) == 0 {
		return "", nil, true
	}
	key, isIndex := literalKey(rest[0])
	switch {
	case isIndex && target.repeats() == "":
		what := "VM"
		if target.kind != "vm" {
			what = target.kind
		}
		l.fail(t.SourceRange(), "Needless index", "%s is one %s, not several. Write it without the index: %s%s", target.address(), what, target.address(), attributeExample(rest[1:]))
		return "", nil, false
	case isIndex:
		if instance, ok = l.checkKey(t, target, key); !ok {
			return "", nil, false
		}
		return instance, rest[1:], true
	case target.repeats() != "":
		l.fail(t.SourceRange(), "Missing index", "%s has %s, so there are several. Say which: %s%s", target.address(), target.repeats(), keyExample(target), attributeExample(rest))
		return "", nil, false
	}
	return "", rest, true
}

func (l *linker) checkVMAttribute(t hcl.Traversal, target *node, step hcl.Traverser) bool {
	attr, ok := step.(hcl.TraverseAttr)
	if !ok || slices.Contains(vmAttributes, attr.Name) {
		return true
	}
	hint := didYouMean("", attr.Name, vmAttributes)
	if attr.Name == "ip" {
		hint = " Did you mean address?"
	}
	if attr.Name == "ports" {
		hint = " Did you mean port[80], with the guest's port in brackets?"
	}
	if hint == "" {
		hint = " It has " + listed(vmAttributes) + "."
	}
	l.fail(t.SourceRange(), "Unknown attribute", "%s has no attribute %q that can be read.%s", target.address(), attr.Name, hint)
	return false
}

func (l *linker) checkKey(t hcl.Traversal, target *node, key cty.Value) (Address, bool) {
	if target.repeats() == "count" {
		number, err := convert.Convert(key, cty.Number)
		index, ok := wholeNumber(number)
		if err != nil || !ok || index < 0 {
			l.fail(t.SourceRange(), "Invalid index", "%s has count, so its instances are numbered. Write %s", target.address(), keyExample(target))
			return "", false
		}
		return indexed(target.address(), index), true
	}
	if key.Type() != cty.String {
		l.fail(t.SourceRange(), "Invalid index", "%s has for_each, so its instances have names. Write %s", target.address(), keyExample(target))
		return "", false
	}
	return keyed(target.address(), key.AsString()), true
}

func keyExample(target *node) string {
	if target.repeats() == "count" {
		return string(indexed(target.address(), 0))
	}
	return string(target.address()) + `["KEY"]`
}

func attributeExample(rest hcl.Traversal) string {
	text := ""
	for _, step := range rest {
		switch step := step.(type) {
		case hcl.TraverseAttr:
			text += "." + step.Name
		case hcl.TraverseIndex:
			text += "[" + showKey(step.Key) + "]"
		}
	}
	return text
}

func showKey(key cty.Value) string {
	if key.Type() == cty.String && key.IsKnown() && !key.IsNull() {
		return strconv.Quote(key.AsString())
	}
	if n, ok := wholeNumber(key); ok {
		return strconv.Itoa(n)
	}
	return "..."
}

// linkDependsOn reads a list of VMs, or, of a vm, a map from VMs to conditions.
func (l *linker) linkDependsOn(n *node, arg *argument) {
	if pairs, diags := hcl.ExprMap(arg.expr); !diags.HasErrors() && n.kind == "vm" {
		l.linkConditions(n, arg, pairs)
		return
	}
	items, diags := hcl.ExprList(arg.expr)
	if diags.HasErrors() {
		arg.wrong = true
		l.fail(arg.expr.Range(), "Invalid depends_on", "It is a list of VMs. Write: depends_on = [vm.NAME]")
		return
	}
	for _, item := range items {
		t, diags := hcl.AbsTraversalForExpr(item)
		if diags.HasErrors() || t.RootName() != "vm" && t.RootName() != "module" {
			arg.wrong = true
			l.fail(item.Range(), "Invalid depends_on", "%s is no reference to a VM.%s", shownItem(item), l.dependsHint(item))
			continue
		}
		if t.RootName() == "module" && len(t) > 2 {
			t = t[:2]
		}
		if !l.linkTraversal(n, nil, arg, t) {
			arg.wrong = true
			continue
		}
		if most := 2 + indexSteps(t); len(t) > most {
			arg.wrong = true
			l.fail(item.Range(), "Invalid depends_on", "It lists whole VMs and modules. Write %s", t.RootName()+"."+l.stepName(t)+attributeExample(t[2:most]))
		}
	}
}

// shownItem is an item of depends_on as the user wrote it, if that is short.
func shownItem(item hcl.Expression) string {
	if t, diags := hcl.AbsTraversalForExpr(item); !diags.HasErrors() {
		return t.RootName() + attributeExample(t[1:])
	}
	if v, diags := item.Value(nil); !diags.HasErrors() && v.Type().IsPrimitiveType() && v.IsKnown() && !v.IsNull() {
		return showKey(v)
	}
	return "This"
}

func indexSteps(t hcl.Traversal) int {
	if len(t) > 2 {
		if _, ok := literalKey(t[2]); ok {
			return 1
		}
	}
	return 0
}

func (l *linker) stepName(t hcl.Traversal) string {
	step, _ := t[1].(hcl.TraverseAttr)
	return step.Name
}

// dependsHint knows the usual slips: vm names in quotes, or without "vm.".
func (l *linker) dependsHint(item hcl.Expression) string {
	name := hcl.ExprAsKeyword(item)
	if value, diags := item.Value(nil); !diags.HasErrors() && value.Type() == cty.String && value.IsKnown() && !value.IsNull() {
		name = value.AsString()
	}
	if len(name) > 3 && name[:3] == "vm." {
		name = name[3:]
	}
	if l.nodes["vm"][name] != nil {
		return " Did you mean vm." + name + "?"
	}
	if hclsyntax.ValidIdentifier(name) {
		if hint := didYouMean("vm.", name, l.names("vm")); hint != "" {
			return hint
		}
	}
	return " Write: depends_on = [vm.NAME]"
}
