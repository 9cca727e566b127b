package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// givenValue is a value for a variable from outside of the stack files.
type givenValue struct {
	at   hcl.Range
	expr hcl.Expression // from a file
	text string         // from the command line or the environment
	// known is a module's argument, evaluated; behind are the VMs and keys the
	// inputs that it was made from.
	known  cty.Value
	behind map[behind]bool
	keys   []string
}

// origin is where the value was given. A flag or the environment has no lines.
func (g givenValue) origin() Pos {
	if g.expr == nil && g.known == cty.NilVal {
		return Pos{File: g.at.Filename}
	}
	return position(g.at)
}

// value reads the text as the variable's type wants it: a string as it
// stands, anything with structure as an expression.
func (g givenValue) value(ty cty.Type, e *evaluator) (cty.Value, bool) {
	expr := g.expr
	if g.known != cty.NilVal {
		return g.known, true
	}
	if expr == nil {
		if ty.IsPrimitiveType() || ty == cty.DynamicPseudoType {
			return cty.StringVal(g.text), true
		}
		parsed, diags := hclsyntax.ParseExpression([]byte(g.text), g.at.Filename, g.at.Start)
		e.add(diags...)
		if diags.HasErrors() {
			return cty.DynamicVal, false
		}
		expr = parsed
	}
	v, diags := expr.Value(nil)
	if !diags.HasErrors() {
		return v, true
	}
	e.fail(expr.Range(), "Not a constant", "A value given from outside cannot refer to anything or call functions: %s", diags[0].Detail)
	return cty.DynamicVal, false
}

// collectGiven gathers the values from outside, later sources winning, and
// reports those that no variable takes.
func (e *evaluator) collectGiven() {
	e.given = map[string]givenValue{}
	for _, name := range sortedKeys(e.in.EnvVars) {
		key := "LKUP_VAR_" + name
		g := e.textValue(key, key, e.in.EnvVars[name])
		if e.declared.nodes["var"][name] == nil {
			e.warn(g.at, "Unknown variable", "No variable %q is declared, so this has no effect.%s", name, didYouMean("LKUP_VAR_", name, e.declared.names("var")))
			continue
		}
		e.given[name] = g
	}
	for _, g := range e.in.Given {
		if g.File != "" {
			e.collectFile(g)
			continue
		}
		e.accept(g.Name, e.textValue("--var", g.Name, g.Text))
	}
}

func (e *evaluator) collectFile(file Given) {
	parsed, diags := parse(file.File, file.Content)
	if parsed == nil {
		parsed = &hcl.File{Bytes: file.Content}
	}
	e.reader.files[file.File] = parsed
	e.add(diags...)
	if diags.HasErrors() || parsed.Body == nil {
		return
	}
	attrs, diags := parsed.Body.JustAttributes()
	e.add(diags...)
	for _, attr := range byPosition(attrs) {
		e.accept(attr.Name, givenValue{at: attr.Expr.Range(), expr: attr.Expr})
	}
}

func (e *evaluator) accept(name string, g givenValue) {
	if e.declared.nodes["var"][name] == nil {
		hint := didYouMean("", name, e.declared.names("var"))
		if hint == "" {
			hint = ` Take it out, or declare it: variable "` + name + `" {}`
		}
		e.fail(g.at, "Unknown variable", "No variable %q is declared.%s", name, hint)
		return
	}
	e.given[name] = g
}

// textValue makes a file of the text, so that a diagnostic can show it.
func (e *evaluator) textValue(source, key, text string) givenValue {
	filename := source
	if source == "--var" {
		filename = "--var " + key
	}
	start := hcl.Pos{Line: 1, Column: len(key) + 2, Byte: len(key) + 1}
	end := hcl.Pos{Line: 1, Column: start.Column + len(text), Byte: start.Byte + len(text)}
	shown := text
	if n := e.declared.nodes["var"][strings.TrimPrefix(key, "LKUP_VAR_")]; n != nil && e.flag(n, "sensitive", false) {
		shown = "(sensitive)"
	}
	e.reader.files[filename] = &hcl.File{Bytes: []byte(key + "=" + shown)}
	return givenValue{at: hcl.Range{Filename: filename, Start: start, End: end}, text: text}
}
