package spec

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// madeOf fills in what the stack's values are made from: Stack.Inputs and
// Stack.From.
func (e *evaluator) madeOf() {
	for _, n := range e.declared.all() {
		switch n.kind {
		case "variable":
			e.input(n, n.from)
		case "local":
			e.input(n, position(n.at()))
		case "secret":
			e.input(n, position(n.at()))
		case "image", "template", "vm", "volume", "network":
			e.fromOf(n)
		}
	}
}

// input adds a variable or a local, if its value is known.
func (e *evaluator) input(n *node, origin Pos) {
	in := Input{Origin: origin, From: e.keysOf(n)}
	value, hidden := reveal(n.value)
	if value == cty.NilVal || n.tainted || !value.IsWhollyKnown() {
		return
	}
	content, err := ctyjson.Marshal(value, value.Type())
	if err != nil { // a capsule, which no expression makes
		return
	}
	in.Content, in.Sensitive = content, hidden
	e.stack.Inputs[string(n.address())] = in
}

// keysOf lists the inputs that a node refers to itself.
func (e *evaluator) keysOf(n *node) []string {
	keys := map[string]bool{}
	n.every(func(b *block, arg *argument) { e.keysOfArgument(n, b, arg, keys) })
	for _, key := range e.given[n.name].keys {
		keys[key] = true
	}
	delete(keys, string(n.address())) // a validation looks at its own variable
	return sorted(keys)
}

func (e *evaluator) keysOfArgument(n *node, b *block, arg *argument, keys map[string]bool) {
	e.keysItself(arg, keys)
	if !arg.varies {
		return
	}
	if b != nil && b.repeat != nil {
		e.keysItself(b.repeat.forEach, keys)
	}
	if name := n.repeats(); name != "" && arg.name != name {
		e.keysItself(n.block.args[name], keys)
	}
}

func (e *evaluator) keysItself(arg *argument, keys map[string]bool) {
	for _, ref := range arg.refs {
		if ref.target == nil {
			continue
		}
		switch ref.target.kind {
		case "variable", "local", "secret":
			keys[string(ref.target.address())] = true
		case "module":
			maps.Copy(keys, ref.target.keysOfOutput[outputOf(ref.traversal)])
		}
	}
	for _, name := range arg.reads {
		keys[name] = true
		e.file(name)
	}
}

// file adds a file that an expression read.
func (e *evaluator) file(name string) {
	if _, there := e.stack.Inputs[name]; there {
		return
	}
	content, err := e.reader.readFile(name)
	if err != nil {
		return // it was there a moment ago; the next evaluation reports it
	}
	e.stack.Inputs[name] = Input{Content: content, File: true}
}

// fromOf notes the inputs of each argument of a node, and, for the blocks in
// it, of each block; an image is one thing, known by its own place.
func (e *evaluator) fromOf(n *node) {
	for _, pair := range n.env {
		keys := map[string]bool{}
		e.keysOfArgument(n, n.block, pair, keys)
		e.from(pair.at, keys)
	}
	n.every(func(b *block, arg *argument) {
		keys := map[string]bool{}
		e.keysOfArgument(n, b, arg, keys)
		e.from(arg.at, keys)
		if b != n.block || n.kind != "vm" {
			e.from(b.at, keys)
		}
	})
}

func (e *evaluator) from(at hcl.Range, keys map[string]bool) {
	if len(keys) == 0 {
		return
	}
	pos := position(at)
	for _, key := range e.stack.From[pos] {
		keys[key] = true
	}
	e.stack.From[pos] = sorted(keys)
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
