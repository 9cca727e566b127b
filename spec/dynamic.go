package spec

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// linkIterator checks port.key and port.value in a dynamic "port" block.
func (l *linker) linkIterator(r *repeat, arg *argument, t hcl.Traversal) bool {
	attrs := []string{"key", "value"}
	if len(t) > 1 {
		if step, ok := t[1].(hcl.TraverseAttr); ok && slices.Contains(attrs, step.Name) {
			arg.refs = append(arg.refs, reference{traversal: t})
			arg.varies = true
			return true
		}
	}
	l.fail(t.SourceRange(), "Unknown reference", "%s is the element of this dynamic block. Write %s.value, or %s.key.", r.iterator, r.iterator, r.iterator)
	return false
}

// blocks calls f for each block of a kind, and for each that a dynamic block
// stands for.
func (i *instance) blocks(kind string, f func(*block)) {
	outer := i.ctx
	defer func() { i.ctx = outer }()
	for _, b := range i.node.block.blocks[kind] {
		if b.repeat == nil {
			f(b)
			continue
		}
		elements, ok := i.elements(b.repeat)
		if !ok {
			i.failed = true
			continue
		}
		if b.schema.once && len(elements) > 1 {
			i.failed = true
			i.fail(b.repeat.forEach.expr.Range(), "Second "+b.schema.name(), "A vm takes one, and this makes %d. Write a for_each with one element at most.", len(elements))
			continue
		}
		for _, element := range elements {
			i.ctx = outer.NewChild()
			i.ctx.Variables = map[string]cty.Value{b.repeat.iterator: cty.ObjectVal(map[string]cty.Value{"key": element.key, "value": element.value})}
			f(b)
		}
		i.ctx = outer
	}
}

// elements evaluates the for_each of a dynamic block: a list, a set or a map.
func (i *instance) elements(r *repeat) ([]keyValue, bool) {
	v, ok := i.value(r.forEach, i.ctx)
	if !ok {
		return nil, false
	}
	v, marks := v.Unmark()
	detail := ""
	switch {
	case len(marks) > 0:
		detail = "The value is sensitive, and how many blocks there are shows everywhere. Use nonsensitive() if it may be seen."
	case v.IsNull():
		detail = "The value is null. Write a list, a set or a map; an empty one for no blocks: []"
	case !v.IsKnown():
		if !i.node.tainted {
			i.notKnown(i.node, r.forEach, i.ctx)
		}
		return nil, false
	case !v.CanIterateElements():
		detail = "It takes a list, a set or a map. Write, for example: for_each = [80, 443]"
	case v.LengthInt() > mostInstances:
		detail = "That is more than 100000 blocks. Write a smaller collection."
	}
	if detail != "" {
		i.mistake(r.forEach, i.ctx, "Invalid for_each", "%s", detail)
		return nil, false
	}
	var all []keyValue
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if v.Type().IsSetType() {
			key = value
		}
		all = append(all, keyValue{key, value})
	}
	return all, true
}
