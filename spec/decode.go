package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// block is a block of a stack file, checked against its schema.
type block struct {
	schema *schema
	name   string
	at     hcl.Range // its header
	args   map[string]*argument
	blocks map[string][]*block
	// repeat makes several blocks of this one, if it is the content of a
	// dynamic block.
	repeat *repeat
}

// repeat is a dynamic block without its content.
type repeat struct {
	at       hcl.Range
	forEach  *argument
	iterator string // what expressions call the element
}

// argument is a name with an expression.
type argument struct {
	name string
	at   hcl.Range // all of it
	expr hcl.Expression
	refs []reference
	// wrong says that the expression names something that is not there. It is
	// reported, and the expression is never evaluated.
	wrong bool
	// varies says that the value depends on each or count, and so on the
	// instance. Any other is evaluated once.
	varies bool
	done   bool
	value  cty.Value
	ok     bool
	// reads are the files that an evaluation of it read.
	reads []string
}

// every calls f for each argument of b and of the blocks in it, in a fixed order.
func (b *block) every(f func(*block, *argument)) {
	if b.repeat != nil {
		f(b, b.repeat.forEach)
	}
	for _, name := range slices.Sorted(maps.Keys(b.args)) {
		f(b, b.args[name])
	}
	for _, kind := range slices.Sorted(maps.Keys(b.blocks)) {
		for _, inner := range b.blocks[kind] {
			inner.every(f)
		}
	}
}

// decode reads a body. at is the header of the block that it belongs to.
func decode(body hcl.Body, s *schema, at hcl.Range, rep *report) *block {
	b := &block{schema: s, at: at, args: map[string]*argument{}, blocks: map[string][]*block{}}
	attrs, blocks := content(body, s, rep)
	for _, attr := range attrs {
		b.args[attr.Name] = &argument{name: attr.Name, at: attr.Range, expr: attr.Expr}
	}
	for _, inner := range blocks {
		b.addBlock(inner, s.block(inner.Type), rep)
	}
	for _, name := range slices.Sorted(maps.Keys(s.required)) {
		if b.args[name] == nil && !misspelt(body, name, s) {
			rep.fail(at, "Missing "+name, "Every %s needs %q. Add: %s", s.name(), name, s.required[name])
		}
	}
	return b
}

// misspelt reports whether the body has an unknown argument that looks meant for
// name, and so was reported already.
func misspelt(body hcl.Body, name string, s *schema) bool {
	native, isNative := body.(*hclsyntax.Body)
	if !isNative {
		return false
	}
	for given := range native.Attributes {
		if !s.takes(given) && s.meant(given) == name {
			return true
		}
	}
	return false
}

func (b *block) addBlock(raw *hcl.Block, s *schema, rep *report) {
	if s == dynamicSchema {
		b.addDynamic(raw, rep)
		return
	}
	inner := decode(raw.Body, s, headerOf(raw), rep)
	if s.labelled && len(raw.Labels) > 0 {
		inner.name = raw.Labels[0]
		checkLabel(inner, raw.LabelRanges[0], rep)
	}
	b.put(inner, rep)
}

func (b *block) put(inner *block, rep *report) {
	s := inner.schema
	if earlier := b.blocks[s.kind]; s.once && len(earlier) > 0 {
		rep.fail(inner.at, "Second "+s.name(), "There is one already at %s. Join the two.", place(earlier[0].at))
		return
	}
	b.blocks[s.kind] = append(b.blocks[s.kind], inner)
}

// addDynamic reads a dynamic block: the blocks that it stands for are decoded
// once, from its content, and evaluated for each element.
func (b *block) addDynamic(raw *hcl.Block, rep *report) {
	kind, at := raw.Labels[0], headerOf(raw)
	target := b.schema.block(kind)
	if target == nil || target == dynamicSchema {
		rep.fail(raw.LabelRanges[0], "Unknown block", "A %s takes no block %q.%s", b.schema.name(), kind, unknownHint(kind, b.schema))
		return
	}
	content := *target
	outer := decode(raw.Body, &schema{
		kind: "dynamic", required: dynamicSchema.required, optional: dynamicSchema.optional,
		blocks: []*schema{{kind: "content", required: content.required, optional: content.optional, blocks: content.blocks, habits: content.habits, once: true}},
	}, at, rep)
	r := &repeat{at: at, forEach: outer.args["for_each"], iterator: kind}
	if arg := outer.args["iterator"]; arg != nil {
		if r.iterator = hcl.ExprAsKeyword(arg.expr); r.iterator == "" || slices.Contains(roots, r.iterator) {
			rep.fail(arg.expr.Range(), "Invalid iterator", "It is a name of your own for the element, without quotes. Write, for example: iterator = item")
			return
		}
	}
	inner := outer.blocks["content"]
	if r.forEach == nil {
		return // reported
	}
	if len(inner) == 0 {
		rep.fail(at, "Missing content", "A dynamic block needs the block that it repeats. Add: content { ... }")
		return
	}
	inner[0].schema, inner[0].repeat = target, r
	b.put(inner[0], rep)
}

func checkLabel(b *block, at hcl.Range, rep *report) {
	switch {
	case b.schema.kind == "stack":
		if !validHostLabel(b.name) {
			rep.fail(at, "Invalid stack name",
				"A stack's name is at most 63 lower case letters, digits and hyphens. Write: stack %q", offer(hostLabel(b.name), "shop"))
		}
	case !hclsyntax.ValidIdentifier(b.name):
		rep.fail(at, "Invalid name",
			"A name starts with a letter; letters, digits, _ and - may follow. Write: %s %q", b.schema.kind, offer(identifier(b.name), "main"))
	}
}

func offer(name, otherwise string) string {
	if name == "" || len(name) > 63 {
		return otherwise
	}
	return name
}

// identifier makes a name that expressions can refer to.
func identifier(text string) string {
	return strings.TrimLeft(hostLabel(text), "0123456789-")
}

// headerOf is the block's first line up to the last label. JSON has no such
// thing; there it is the label.
func headerOf(raw *hcl.Block) hcl.Range {
	if raw.DefRange.Filename == raw.TypeRange.Filename && raw.DefRange.Start == raw.TypeRange.Start {
		return raw.DefRange
	}
	if len(raw.LabelRanges) > 0 {
		return raw.LabelRanges[0]
	}
	return raw.DefRange
}
