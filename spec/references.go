package spec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// reference is one traversal in an expression, resolved.
type reference struct {
	traversal hcl.Traversal
	target    *node // nil for each, count, path and stack
}

// linker resolves every reference of a stack before anything is evaluated.
type linker struct {
	*declarations
	*report
	functions map[string]function.Function
}

// link fills in refs and edges, and reports every reference that leads nowhere.
func (l *linker) link() {
	for _, n := range l.all() {
		if n.kind == "module" {
			l.linkModule(n)
		}
		n.every(func(b *block, arg *argument) { l.linkArgument(n, b, arg) })
	}
	if l.stack != nil {
		for _, arg := range l.stack.args {
			l.constant(arg, "a stack block")
		}
	}
}

func (l *linker) linkArgument(n *node, b *block, arg *argument) {
	switch {
	case n.kind == "variable" && b == n.block && arg.name == "type":
		return // its names are types
	case arg.name == "depends_on" && b == n.block && (n.kind == "vm" || n.kind == "module"):
		l.linkDependsOn(n, arg)
	case n.kind == "module" && b == n.block && arg.name == "source":
		return // read when the module was opened
	case b != nil && b.schema == lifecycleSchema:
		l.linkLifecycle(n, arg)
	case n.kind == "variable" && b == n.block:
		l.constant(arg, "a variable")
	case n.kind == "secret":
		l.constant(arg, "a secret")
	case n.kind == "output" && arg.name != "value":
		l.constant(arg, "an output")
	default:
		l.linkExpression(n, b, arg)
	}
}

// constant reports any reference in arg.
func (l *linker) constant(arg *argument, where string) {
	for _, t := range arg.expr.Variables() {
		arg.wrong = true
		if text := bareWord(t); text != "" {
			l.fail(t.SourceRange(), "Not a constant", "The %q of %s cannot refer to anything. To mean the text, write %q in quotes.", arg.name, where, text)
			continue
		}
		l.fail(t.SourceRange(), "Not a constant", "The %q of %s cannot refer to anything. Write a value here, or compute it in a locals block and refer to that where it is used.", arg.name, where)
	}
	l.checkFunctions(arg)
}

func bareWord(t hcl.Traversal) string {
	if len(t) == 1 {
		return t.RootName()
	}
	return ""
}

func (l *linker) linkExpression(n *node, b *block, arg *argument) {
	for _, t := range arg.expr.Variables() {
		if !l.linkTraversal(n, b, arg, t) {
			arg.wrong = true
		}
	}
	l.checkFunctions(arg)
}

// linkTraversal reports whether t leads somewhere.
func (l *linker) linkTraversal(n *node, b *block, arg *argument, t hcl.Traversal) bool {
	root := t.RootName()
	if b != nil && b.repeat != nil && root == b.repeat.iterator && arg != b.repeat.forEach {
		return l.linkIterator(b.repeat, arg, t)
	}
	if !slices.Contains(roots, root) {
		l.fail(t.SourceRange(), "Unknown reference", "There is nothing named %q.%s", root, l.rootHint(t))
		return false
	}
	if len(t) < 2 {
		l.fail(t.SourceRange(), "Incomplete reference", "%s", incomplete(root, l.names(root)))
		return false
	}
	step, ok := t[1].(hcl.TraverseAttr)
	if !ok {
		l.fail(t.SourceRange(), "Incomplete reference", "Write a dot and a name after %q: %s", root, example(root, l.names(root)))
		return false
	}
	switch root {
	case "each", "count":
		return l.linkRepetition(n, b, arg, t, root, step.Name)
	case "path":
		return l.oneOf(t, "path", step.Name, []string{"root", "module"})
	case "stack":
		return l.oneOf(t, "stack", step.Name, []string{"name"})
	}
	target := l.nodes[root][step.Name]
	if target == nil {
		l.undeclared(t, root, step.Name)
		return false
	}
	return l.linkNode(n, arg, t, target)
}

func (l *linker) linkNode(n *node, arg *argument, t hcl.Traversal, target *node) bool {
	e := edge{to: target, at: t.SourceRange()}
	if target.kind == "vm" {
		instance, ok := l.checkVM(t, target)
		if !ok {
			return false
		}
		e.instance = instance
	}
	if target.kind == "module" {
		output, ok := l.checkModule(t, target)
		if !ok {
			return false
		}
		e.output = output
	}
	if target.kind == "volume" && !l.checkVolume(t, target) {
		return false
	}
	if target.kind == "network" && !l.checkNetwork(t, target) {
		return false
	}
	if (target.kind == "image" || target.kind == "template") && len(t) > 2 {
		l.fail(t.SourceRange(), "Unknown attribute", "%s has no attributes; it only serves as the image of a vm. Write: image = %s", target.address(), target.address())
		return false
	}
	arg.refs = append(arg.refs, reference{traversal: t, target: target})
	if n == target && n.kind == "variable" {
		return true // its own validation
	}
	target.used = true
	n.edges = append(n.edges, e)
	return true
}

func (l *linker) undeclared(t hcl.Traversal, root, name string) {
	hint := didYouMean(root+".", name, l.names(root))
	switch {
	case hint != "":
	case root == "local":
		hint = " Declare it: locals { " + name + " = ... }"
	case root == "var":
		hint = ` Declare it: variable "` + name + `" {}`
	default:
		hint = " Declare it: " + root + ` "` + name + `" { ... }`
	}
	if root != "local" && root != "var" {
		for _, other := range []string{"image", "template", "volume", "network", "vm", "module", "secret"} {
			if l.nodes[other][name] != nil {
				hint = " Did you mean " + other + "." + name + "?"
			}
		}
	}
	l.fail(t.SourceRange(), "Unknown reference", "%s.%s is not declared.%s", root, name, hint)
}

// linkRepetition checks each.* and count.*.
func (l *linker) linkRepetition(n *node, b *block, arg *argument, t hcl.Traversal, root, attr string) bool {
	meta, attrs := "for_each", []string{"key", "value"}
	if root == "count" {
		meta, attrs = "count", []string{"index"}
	}
	inMeta := b != nil && b == n.block && (arg.name == "for_each" || arg.name == "count")
	if !repeatable(n) || n.repeats() != meta || inMeta {
		kind := "vm"
		if repeatable(n) {
			kind = n.kind
		}
		l.fail(t.SourceRange(), "Unknown reference", "%s.%s has a value only inside a %s block that has %s.%s", root, attr, kind, meta, repetitionHint(n, inMeta))
		return false
	}
	if !l.oneOf(t, root, attr, attrs) {
		return false
	}
	arg.refs = append(arg.refs, reference{traversal: t})
	arg.varies = true
	return true
}

// repeatable reports whether for_each and count make several of a node.
func repeatable(n *node) bool {
	return n.kind == "vm" || n.kind == "volume" || n.kind == "network" || n.kind == "module"
}

func repetitionHint(n *node, inMeta bool) string {
	switch {
	case inMeta:
		return " Write a value that does not depend on the instance."
	case !repeatable(n):
		return " Refer to the instances of a vm: vm.NAME."
	case n.repeats() == "count":
		return " This one has count: write count.index."
	case n.repeats() == "for_each":
		return " This one has for_each: write each.key."
	}
	return " Add it to this " + n.kind + ", or write the value itself."
}

func (l *linker) oneOf(t hcl.Traversal, root, attr string, attrs []string) bool {
	if slices.Contains(attrs, attr) {
		return true
	}
	hint := didYouMean(root+".", attr, attrs)
	if hint == "" {
		hint = " Write " + root + "." + strings.Join(attrs, " or "+root+".") + "."
	}
	l.fail(t.SourceRange(), "Unknown attribute", "%s has no attribute %q.%s", root, attr, hint)
	return false
}

// rootHint says what to type instead of a reference with an unknown root.
func (l *linker) rootHint(t hcl.Traversal) string {
	root := t.RootName()
	for _, kind := range []string{"image", "template", "volume", "network", "vm", "module", "secret", "local", "var"} {
		if l.nodes[kind][root] != nil {
			return " Did you mean " + kind + "." + root + attributeExample(t[1:]) + "?"
		}
	}
	habit := map[string]string{"variable": "var", "vars": "var", "locals": "local", "images": "image", "templates": "template", "vms": "vm", "self": "vm", "volumes": "volume", "networks": "network", "net": "network", "modules": "module", "secrets": "secret"}[root]
	switch {
	case len(t) > 1 && habit != "":
		return " Did you mean " + habit + attributeExample(t[1:]) + "?"
	case len(t) > 1:
		if meant := nearest(root, roots); meant != "" {
			return " Did you mean " + meant + attributeExample(t[1:]) + "?"
		}
		return " A reference starts with " + strings.Join(roots[:len(roots)-1], ", ") + " or " + roots[len(roots)-1] + "."
	}
	return ` To mean the text, write it in quotes: "` + root + `".`
}

func incomplete(root string, names []string) string {
	return "More must follow " + `"` + root + `": write ` + example(root, names)
}

func example(root string, names []string) string {
	switch root {
	case "each":
		return "each.key or each.value"
	case "count":
		return "count.index"
	case "path":
		return "path.root or path.module"
	case "stack":
		return "stack.name"
	}
	if len(names) == 0 {
		return root + ".NAME"
	}
	return root + ".NAME, where NAME is one of " + listed(names)
}

// checkFunctions reports calls to functions that do not exist, and misuse of
// [*], even where the call would never be made. (In JSON they show when evaluated.)
func (l *linker) checkFunctions(arg *argument) {
	expr, native := arg.expr.(hclsyntax.Expression)
	if !native {
		l.checkWrongJSON(arg)
		return
	}
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if splat, ok := n.(*hclsyntax.SplatExpr); ok {
			l.checkSplat(arg, splat)
		}
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok {
			return nil
		}
		if _, known := l.functions[call.Name]; known {
			return nil
		}
		arg.wrong = true
		l.fail(call.NameRange, "Unknown function", "There is no function %q.%s", call.Name, functionHint(call.Name, sortedKeys(l.functions)))
		return nil
	})
}

// checkWrongJSON looks for mistakes in an expression that will not be
// evaluated, because there is one already: with all that it refers to unknown,
// the others show.
func (l *linker) checkWrongJSON(arg *argument) {
	if !arg.wrong {
		return
	}
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: l.functions}
	for _, t := range arg.expr.Variables() {
		ctx.Variables[t.RootName()] = cty.DynamicVal
	}
	_, diags := arg.expr.Value(ctx)
	l.add(diags...)
}

// checkSplat reports [*] after a vm with for_each: it would be a list of one map.
func (l *linker) checkSplat(arg *argument, splat *hclsyntax.SplatExpr) {
	source, ok := splat.Source.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(source.Traversal) != 2 {
		return
	}
	step, ok := source.Traversal[1].(hcl.TraverseAttr)
	if !ok {
		return
	}
	if n := l.nodes[source.Traversal.RootName()][step.Name]; n != nil && repeatable(n) && n.repeats() == "for_each" {
		arg.wrong = true
		l.fail(splat.Range(), "Invalid index", "%s has for_each, so it is a map, and [*] is for lists. Write: values(%s)[*]", n.address(), n.address())
	}
}

func functionHint(name string, functions []string) string {
	if slices.Contains([]string{"timestamp", "uuid", "plantimestamp", "bcrypt", "env", "getenv", "abspath", "pathexpand"}, name) {
		return " A stack must mean the same every time, so nothing that changes by itself is at hand. Pass the value in: declare a variable and give it with --var."
	}
	if hint := didYouMean("", name, functions); hint != "" {
		return hint
	}
	return " The functions are Terraform's, without those that read a clock, chance or the environment."
}

// literalKey is the key of an index step as the user wrote it.
func literalKey(step hcl.Traverser) (cty.Value, bool) {
	index, ok := step.(hcl.TraverseIndex)
	return index.Key, ok
}
