package spec

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// content splits a body into its attributes and blocks, and reports what the
// schema does not know.
func content(body hcl.Body, s *schema, rep *report) ([]*hcl.Attribute, []*hcl.Block) {
	if native, ok := body.(*hclsyntax.Body); ok {
		return nativeContent(native, s, rep)
	}
	return jsonContent(body, s, rep)
}

func jsonContent(body hcl.Body, s *schema, rep *report) ([]*hcl.Attribute, []*hcl.Block) {
	if s.open {
		attrs, diags := body.JustAttributes()
		rep.add(diags...)
		return byPosition(attrs), nil
	}
	want := &hcl.BodySchema{}
	for _, name := range s.arguments() {
		want.Attributes = append(want.Attributes, hcl.AttributeSchema{Name: name})
	}
	for _, b := range s.blocks {
		header := hcl.BlockHeaderSchema{Type: b.kind}
		if b.labelled {
			header.LabelNames = []string{"name"}
		}
		want.Blocks = append(want.Blocks, header)
	}
	got, rest, diags := body.PartialContent(want)
	unknown, notObject := rest.JustAttributes()
	if notObject.HasErrors() { // an array of objects; only Content looks into those
		got, diags = body.Content(want)
	}
	rep.add(diags...)
	for _, attr := range byPosition(unknown) {
		rep.fail(attr.NameRange, "Unknown property", "A %s takes no property %q.%s", s.name(), attr.Name, unknownProperty(attr.Name, s))
	}
	return byPosition(got.Attributes), got.Blocks
}

func unknownProperty(given string, s *schema) string {
	if meant := s.meant(given); meant != "" {
		return ` Did you mean "` + meant + `"?`
	}
	return " " + s.menu()
}

func byPosition(attrs hcl.Attributes) []*hcl.Attribute {
	return slices.SortedFunc(maps.Values(attrs), func(a, b *hcl.Attribute) int {
		return cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte)
	})
}

func nativeContent(body *hclsyntax.Body, s *schema, rep *report) ([]*hcl.Attribute, []*hcl.Block) {
	var attrs []*hcl.Attribute
	for _, attr := range body.Attributes {
		if !s.takes(attr.Name) {
			unknownArgument(attr, s, rep)
			continue
		}
		attrs = append(attrs, attr.AsHCLAttribute())
	}
	var blocks []*hcl.Block
	for _, b := range body.Blocks {
		inner := s.block(b.Type)
		if inner == nil {
			unknownBlock(b, s, rep)
			continue
		}
		if checkLabels(b, inner, rep) {
			blocks = append(blocks, b.AsHCLBlock())
		}
	}
	slices.SortFunc(attrs, func(a, b *hcl.Attribute) int { return cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte) })
	return attrs, blocks
}

// checkLabels reports whether the block has the name it needs.
func checkLabels(b *hclsyntax.Block, s *schema, rep *report) bool {
	switch {
	case s.labelled && !s.unnamed && len(b.Labels) == 0:
		rep.fail(b.TypeRange, "Missing name", "Every %s has a name. Write: %s \"main\" {", s.name(), s.kind)
		return false
	case s.labelled && len(b.Labels) > 1:
		rep.fail(b.LabelRanges[1], "Too many names", "A %s has one name. Write: %s %q {", s.name(), s.kind, b.Labels[0])
	case !s.labelled && len(b.Labels) > 0:
		rep.fail(b.LabelRanges[0], "Needless name", "A %s has no name. Write: %s {", s.name(), s.kind)
	}
	return true
}

func unknownArgument(attr *hclsyntax.Attribute, s *schema, rep *report) {
	if inner := s.block(attr.Name); inner != nil {
		rep.fail(attr.NameRange, "Block written as an argument", "%q is a block. Write: %s", attr.Name, blockForm(inner))
		return
	}
	rep.fail(attr.NameRange, "Unknown argument", "A %s takes no argument %q.%s", s.name(), attr.Name, unknownHint(attr.Name, s))
}

func unknownBlock(b *hclsyntax.Block, s *schema, rep *report) {
	if s.takes(b.Type) && !s.open {
		rep.fail(b.TypeRange, "Argument written as a block", "%q is an argument. Write: %s = %s", b.Type, b.Type, s.form(b.Type))
		return
	}
	rep.fail(b.TypeRange, "Unknown block", "A %s takes no block %q.%s", s.name(), b.Type, unknownHint(b.Type, s))
}

func blockForm(s *schema) string {
	inside := "..."
	if len(s.required) == 1 && !s.labelled {
		for _, line := range s.required {
			inside = line
		}
	}
	if s.labelled {
		return s.kind + ` "NAME" { ` + inside + ` }`
	}
	return s.kind + " { " + inside + " }"
}

// unknownHint says what to type instead of a name that s does not know.
func unknownHint(given string, s *schema) string {
	meant := s.meant(given)
	switch {
	case meant == "":
		return " " + s.menu()
	case s.block(meant) != nil:
		return " Did you mean " + blockForm(s.block(meant)) + "?"
	}
	return " Did you mean " + meant + " = " + s.form(meant) + "?"
}

// meant is the argument or block that a name is probably a slip for, or "".
func (s *schema) meant(given string) string {
	if meant := s.habits[strings.ToLower(given)]; meant != "" {
		return meant
	}
	return nearest(given, append(s.arguments(), s.blockKinds()...))
}

// form shows what an argument looks like.
func (s *schema) form(argument string) string {
	if argument == "env" || argument == "vars" {
		return `{ NAME = "value" }`
	}
	return "..."
}

// menu lists all that a block may hold.
func (s *schema) menu() string {
	var parts []string
	if names := s.arguments(); len(names) > 0 {
		slices.Sort(names)
		parts = append(parts, "the arguments "+strings.Join(names, ", "))
	}
	if kinds := s.blockKinds(); len(kinds) > 0 {
		parts = append(parts, "the blocks "+strings.Join(kinds, ", "))
	}
	if len(parts) == 0 {
		return "It is empty."
	}
	return "It takes " + strings.Join(parts, " and ") + "."
}
