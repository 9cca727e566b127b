package spec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// linkLifecycle checks what a lifecycle block names.
func (l *linker) linkLifecycle(n *node, arg *argument) {
	switch arg.name {
	case "replace_triggered_by":
		items, diags := hcl.ExprList(arg.expr)
		if diags.HasErrors() {
			arg.wrong = true
			l.fail(arg.expr.Range(), "Invalid replace_triggered_by", "It is a list of references. Write: replace_triggered_by = [local.NAME]")
			return
		}
		for _, item := range items {
			if _, diags := hcl.AbsTraversalForExpr(item); diags.HasErrors() {
				arg.wrong = true
				l.fail(item.Range(), "Invalid replace_triggered_by", "%s is no reference. Write, for example: replace_triggered_by = [var.NAME, template.NAME]", shownItem(item))
			}
		}
		l.linkExpression(n, nil, arg)
	case "ignore_changes":
		l.linkIgnored(arg)
	default:
		l.constant(arg, "a lifecycle block")
	}
}

// ignorable are the attributes that ignore_changes can name.
var ignorable = []string{
	"image", "driver", "cpus", "memory", "running", "env", "cmdline", "hostname", "labels", "port", "share", "mount", "network", "seed", "ssh", "firmware", "ready", "restart", "stop_grace_period", "watch",
}

func (l *linker) linkIgnored(arg *argument) {
	if hcl.ExprAsKeyword(arg.expr) == "all" {
		return
	}
	items, diags := hcl.ExprList(arg.expr)
	if diags.HasErrors() {
		arg.wrong = true
		l.fail(arg.expr.Range(), "Invalid ignore_changes", "It is a list of attributes, or all. Write, for example: ignore_changes = [memory, env.TOKEN]")
		return
	}
	for _, item := range items {
		t, diags := hcl.AbsTraversalForExpr(item)
		if diags.HasErrors() {
			arg.wrong = true
			l.fail(item.Range(), "Invalid ignore_changes", "%s is no attribute. Write names without quotes: ignore_changes = [memory]", shownItem(item))
			continue
		}
		if !slices.Contains(ignorable, t.RootName()) {
			arg.wrong = true
			hint := didYouMean("", t.RootName(), ignorable)
			if hint == "" {
				hint = " There are " + strings.Join(ignorable, ", ") + "."
			}
			l.fail(item.Range(), "Invalid ignore_changes", "A vm has no attribute %q that could be ignored.%s", t.RootName(), hint)
		}
	}
}

// lifecycle reads the lifecycle block.
func (i *instance) lifecycle(b *block) {
	if v, state := i.get(b, "prevent_destroy", "lifecycle.prevent_destroy", cty.Bool); state == present {
		i.vm.Lifecycle.PreventDestroy = v.True()
	}
	if arg := b.args["ignore_changes"]; arg != nil && !arg.wrong {
		i.origin("lifecycle.ignore_changes", arg.at)
		i.vm.Lifecycle.IgnoreChanges = ignoredNames(arg.expr)
	}
	if arg := b.args["replace_triggered_by"]; arg != nil && !arg.wrong {
		i.origin("lifecycle.replace_triggered_by", arg.at)
		i.triggers(arg)
	}
}

// ignoredNames are attribute paths, as in VM.Origins.
func ignoredNames(expr hcl.Expression) []string {
	if hcl.ExprAsKeyword(expr) == "all" {
		return []string{"all"}
	}
	items, _ := hcl.ExprList(expr)
	var names []string
	for _, item := range items {
		t, _ := hcl.AbsTraversalForExpr(item)
		name := t.RootName()
		if name == "hostname" {
			name = "name"
		}
		for _, step := range t[1:] {
			switch step := step.(type) {
			case hcl.TraverseAttr:
				name += "." + step.Name
			case hcl.TraverseIndex:
				key := strings.Trim(showKey(step.Key), `"`)
				if name == "env" || name == "labels" { // maps, whose elements have names
					name += "." + key
				} else {
					name += "[" + key + "]"
				}
			}
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// triggers evaluates what replace_triggered_by refers to.
func (i *instance) triggers(arg *argument) {
	items, _ := hcl.ExprList(arg.expr)
	i.vm.Lifecycle.Triggers = map[string]string{}
	for _, item := range items {
		one := &argument{name: arg.name, at: item.Range(), expr: item, refs: arg.refs, varies: true}
		v, ok := i.value(one, i.ctx)
		if !ok {
			i.failed = true
			continue
		}
		t, _ := hcl.AbsTraversalForExpr(item)
		ref := t.RootName() + attributeExample(t[1:])
		switch {
		case v.ContainsMarked():
			i.failed = true
			i.fail(item.Range(), "Sensitive trigger", "What triggers a replacement is kept in the state, and this value is sensitive. Refer to something else, such as a local with a version of it.")
			continue
		case !v.IsWhollyKnown():
			if i.failed = true; !i.node.tainted {
				i.notKnown(i.node, one, i.ctx)
			}
			continue
		}
		if v.Type().Equals(imageType) {
			ref = v.GetAttr("address").AsString() // its digest counts
		}
		content, err := ctyjson.SimpleJSONValue{Value: v}.MarshalJSON()
		if err == nil {
			i.vm.Lifecycle.Triggers[ref] = string(content)
		}
	}
}
