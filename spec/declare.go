package spec

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// node is one thing that expressions can refer to, or that refers to others:
// a variable, a local, an image, a vm, a module, an output.
type node struct {
	kind, name string
	within     Address // the module's, or empty
	block      *block
	local      *argument // of a local, instead of the block
	edges      []edge
	// used says that something else refers to it.
	used bool

	value cty.Value
	// tainted says that a mistake is behind this value, so that what is
	// unknown about it is no second mistake.
	tainted bool
	// instances are a vm's, in the order of its keys; keys are for_each's.
	instances []Address
	keys      []string
	// behind are the VMs that the value was made from.
	behind map[behind]bool
	// env are the elements of a vm's env, if it is written as { ... }.
	env []*argument
	// origins are those of the instance before, for the next to share; spare is
	// a map that the next may fill.
	origins, spare map[string]Pos
	// from is where a variable got its value.
	from Pos
	// conditions are what a vm's depends_on says of others.
	conditions []condition
	// Of a module: its declarations, and, by output, the VMs and the inputs
	// that the value was made from; members are all its vm nodes.
	inside       *declarations
	behindOutput map[string]map[behind]bool
	keysOfOutput map[string]map[string]bool
	members      []*node
}

// edge is a reference from one node to another.
type edge struct {
	to *node
	at hcl.Range
	// instance is the one VM that is meant, or empty for all of the block.
	instance Address
	// output is the one output of a module that is meant, or empty for all.
	output string
}

type behind struct {
	vm       *node
	instance Address
}

func (n *node) address() Address {
	if n.within != "" {
		return n.within + "." + Address(n.root()+"."+n.name)
	}
	return Address(n.root() + "." + n.name)
}

// root is the first step of a reference to the node.
func (n *node) root() string {
	switch {
	case n.kind == "variable":
		return "var"
	case n.block != nil && n.block.schema == devenvSchema:
		return "devenv"
	}
	return n.kind
}

// word is what a person calls the kind of node.
func (n *node) word() string {
	if n.root() == "devenv" {
		return "devenv"
	}
	return n.kind
}

func (n *node) at() hcl.Range {
	if n.local != nil {
		return n.local.at
	}
	return n.block.at
}

// every calls f for each argument of the node, with the block it stands in.
func (n *node) every(f func(*block, *argument)) {
	if n.local != nil {
		f(nil, n.local)
		return
	}
	n.block.every(f)
}

// repeats is "for_each", "count" or "".
func (n *node) repeats() string {
	for _, name := range []string{"for_each", "count"} {
		if n.block != nil && n.block.args[name] != nil {
			return name
		}
	}
	return ""
}

// declarations is all that the stack files declare, by the root of a reference
// and the name.
type declarations struct {
	within Address // the module's, or empty
	dir    string  // of the stack files, in the project
	stack  *block
	nodes  map[string]map[string]*node
	// statements are the blocks that nothing refers to, by kind.
	statements map[string][]*block
}

// roots are what a reference can start with, besides a for expression's own names.
var roots = []string{"var", "local", "image", "template", "volume", "network", "vm", "devenv", "module", "secret", "each", "count", "path", "stack"}

// kinds are the blocks that become nodes.
var kinds = []string{"variable", "image", "template", "volume", "network", "vm", "module", "secret", "output", "check"}

// declare sorts the blocks of the stack files of one directory, and finds names
// given twice.
func declare(bodies []hcl.Body, dir string, within Address, rep *report) *declarations {
	d := &declarations{dir: dir, within: within, nodes: map[string]map[string]*node{}, statements: map[string][]*block{}}
	for _, root := range append([]string{"output", "check"}, roots...) {
		d.nodes[root] = map[string]*node{}
	}
	for _, body := range bodies {
		file := decode(body, fileSchema, body.MissingItemRange(), rep)
		for _, s := range file.blocks["stack"] {
			d.addStack(s, rep)
		}
		for _, locals := range file.blocks["locals"] {
			for _, name := range slices.Sorted(maps.Keys(locals.args)) {
				d.put(&node{kind: "local", name: name, local: locals.args[name]}, rep)
			}
		}
		for _, kind := range []string{"moved", "removed", "import", "profile"} {
			for _, b := range file.blocks[kind] {
				if b.schema.root && within != "" {
					rep.fail(b.at, "Misplaced "+kind, "Only the stack files of the project itself take %s blocks. Move it to one of those.", kind)
					continue
				}
				d.statements[kind] = append(d.statements[kind], b)
			}
		}
		for _, kind := range kinds {
			for _, b := range file.blocks[kind] {
				if b.name != "" {
					d.put(&node{kind: kind, name: b.name, block: b}, rep)
				}
			}
		}
		d.addDevenvs(file.blocks["devenv"], rep)
	}
	return d
}

func (d *declarations) addStack(s *block, rep *report) {
	if d.within != "" {
		return // a module may be a stack of its own, elsewhere
	}
	if d.stack != nil {
		rep.fail(s.at, "Second stack block", "There is one already at %s. All files of a directory are one stack: join the two.", place(d.stack.at))
		return
	}
	d.stack = s
}

func (d *declarations) put(n *node, rep *report) {
	n.within = d.within
	named := d.nodes[n.root()]
	if first := named[n.name]; first != nil {
		rep.fail(n.at(), "Duplicate "+n.word(), "%s is declared already at %s. Give one of them another name.", n.address(), place(first.at()))
		return
	}
	named[n.name] = n
}

// all gives the nodes in a fixed order.
func (d *declarations) all() []*node {
	var all []*node
	for _, root := range slices.Sorted(maps.Keys(d.nodes)) {
		for _, name := range slices.Sorted(maps.Keys(d.nodes[root])) {
			all = append(all, d.nodes[root][name])
		}
	}
	return all
}

func (d *declarations) names(root string) []string {
	return slices.Sorted(maps.Keys(d.nodes[root]))
}
