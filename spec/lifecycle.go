package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Ignores reports whether ignore_changes covers an attribute, as in Origins: by
// its own name, by that of its group, or by "all".
func (l Lifecycle) Ignores(attribute string) bool {
	return slices.ContainsFunc(l.IgnoreChanges, func(name string) bool {
		rest, below := strings.CutPrefix(attribute, name)
		return name == "all" || below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

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

// unignorable are the arguments and blocks of a vm that ignore_changes cannot
// name: they say which machines there are, what one is, and when its turn is.
var unignorable = []string{"for_each", "count", "kind", "depends_on", "lifecycle", "dynamic"}

// ignorable are the attributes that ignore_changes can name.
func ignorable() []string {
	names := append(vmSchema.arguments(), vmSchema.blockKinds()...)
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(unignorable, name) })
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
		if wrong := notIgnorable(t); wrong != "" {
			arg.wrong = true
			l.fail(item.Range(), "Invalid ignore_changes", "%s", wrong)
		}
	}
}

// notIgnorable says why changes of an attribute cannot be ignored; empty: they
// can.
func notIgnorable(t hcl.Traversal) string {
	name, below := t.RootName(), t[1:]
	switch names := ignorable(); {
	case slices.Contains(unignorable, name):
		return "Changes of " + name + " are always followed. There are " + strings.Join(names, ", ") + "."
	case !slices.Contains(names, name):
		hint := didYouMean("", name, names)
		if hint == "" {
			hint = " There are " + strings.Join(names, ", ") + "."
		}
		return fmt.Sprintf("A vm has no attribute %q that could be ignored.%s", name, hint)
	case len(below) == 0:
		return ""
	}
	switch b := vmSchema.block(name); {
	case name == "env", name == "labels":
		if len(below) > 1 {
			return "An element of " + name + " has no attributes. Write: ignore_changes = [" + name + attributeExample(below[:1]) + "]"
		}
	case b == nil, b == watchSchema:
		return name + " is ignored as a whole. Write: ignore_changes = [" + name + "]"
	case b.once:
		return notField(b, below)
	default:
		if _, index := below[0].(hcl.TraverseIndex); !index || len(below) > 1 {
			return "A " + name + " block is ignored as a whole: all of them by " + name + ", one by " + elementExamples[name] + "."
		}
	}
	return ""
}

// elementExamples name one of several blocks.
var elementExamples = map[string]string{
	"port": "port[80] or port[\"53/udp\"]", "share": "share[\"/srv/www\"]", "mount": "mount[\"volume.NAME\"]", "network": "network[\"network.NAME\"]",
}

// notField says why what stands below a block's name is none of its fields.
func notField(b *schema, below hcl.Traversal) string {
	fields := b.arguments()
	slices.Sort(fields)
	field, named := below[0].(hcl.TraverseAttr)
	if named && len(below) == 1 && slices.Contains(fields, field.Name) {
		return ""
	}
	hint := ""
	if named {
		hint = didYouMean(b.kind+".", field.Name, fields)
	}
	if hint == "" {
		hint = " There are " + b.kind + " and " + b.kind + "." + strings.Join(fields, ", "+b.kind+".") + "."
	}
	return "A " + b.kind + " block has no such attribute." + hint
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
		switch name {
		case "hostname":
			name = "name"
		case "networks": // the short form of network blocks
			name = "network"
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
