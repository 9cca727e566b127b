package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// statements reads the blocks of a directory that nothing refers to: moved,
// removed, import and profile.
func (e *evaluator) statements() {
	for _, b := range e.declared.statements["moved"] {
		e.movedBlock(b)
	}
	for _, b := range e.declared.statements["removed"] {
		e.removedBlock(b)
	}
	for _, b := range e.declared.statements["import"] {
		e.importBlock(b)
	}
}

// refactorings reads those of the project, and orders them.
func (e *evaluator) refactorings() {
	e.statements()
	e.orderMoved()
	slices.SortFunc(e.stack.Removed, func(a, b Removed) int { return cmp.Compare(a.From, b.From) })
	slices.SortFunc(e.stack.Imports, func(a, b Import) int { return cmp.Compare(a.To, b.To) })
	slices.SortFunc(e.stack.Checks, func(a, b Check) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(e.stack.Secrets, func(a, b SecretSource) int { return cmp.Compare(a.Address, b.Address) })
}

// written reads an argument that names something of the stack, without
// evaluating anything.
func (e *evaluator) written(arg *argument) (Address, *node, bool) {
	if arg == nil {
		return "", nil, false // reported
	}
	a, n, problem := e.addressIn(arg.expr)
	if problem != "" {
		e.fail(arg.expr.Range(), "Invalid "+arg.name, "%s", problem)
	}
	return a, n, problem == ""
}

// addressIn is the address that an expression spells, and the node of its
// block, if that is declared here.
func (e *evaluator) addressIn(expr hcl.Expression) (Address, *node, string) {
	t, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() || len(t) < 2 || !slices.Contains([]string{"vm", "volume", "module"}, t.RootName()) {
		return "", nil, "It is the address of a vm, a volume or a module. Write it without quotes, for example: vm.web or vm.web[\"blue\"]"
	}
	step, ok := t[1].(hcl.TraverseAttr)
	if !ok {
		return "", nil, "Write a dot and a name after " + t.RootName() + "."
	}
	address := Address(t.RootName() + "." + step.Name)
	if e.declared.within != "" {
		address = e.declared.within + "." + address
	}
	for _, step := range t[2:] {
		switch step := step.(type) {
		case hcl.TraverseAttr:
			address += "." + Address(step.Name)
		case hcl.TraverseIndex:
			if n, isNumber := wholeNumber(step.Key); isNumber {
				address = indexed(address, n)
			} else if step.Key.Type() == cty.String {
				address = keyed(address, step.Key.AsString())
			}
		}
	}
	return address, e.declared.nodes[t.RootName()][step.Name], ""
}

func (e *evaluator) movedBlock(b *block) {
	from, fromNode, ok := e.written(b.args["from"])
	to, _, toOK := e.written(b.args["to"])
	if !ok || !toOK {
		return
	}
	kind := func(a Address) string { return a.Kind() }
	switch {
	case kind(from) != kind(to):
		e.fail(b.args["to"].expr.Range(), "Invalid to", "A %s cannot become a %s. Write the new address of the %[1]s: to = %[1]s.NAME", kind(from), kind(to))
	case from == to:
		e.fail(b.at, "Moved to itself", "from and to are the same. Take this block out.")
	case fromNode != nil && from == fromNode.address() && (to.Block() != from || fromNode.repeats() == ""):
		e.fail(b.args["from"].expr.Range(), "Still declared", "%s is declared at %s, so it was not moved. Rename that block, or take this one out.", from, place(fromNode.at()))
	default:
		e.stack.Moved = append(e.stack.Moved, Moved{From: from, To: to, Origin: position(b.at)})
		e.movedAt[position(b.at)] = b.at
	}
}

// orderMoved puts a move behind the one that it goes on from.
func (e *evaluator) orderMoved() {
	left := e.stack.Moved
	e.stack.Moved = nil
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(m Moved) bool {
			return !slices.ContainsFunc(left, func(other Moved) bool { return other.To == m.From })
		})
		if next < 0 {
			e.fail(e.movedAt[left[0].Origin], "Cycle of moves", "%s moves to %s, and back again. Take one of the moved blocks out.", left[0].From, left[0].To)
			return
		}
		m := left[next]
		left = slices.Delete(slices.Clone(left), next, next+1)
		if same := slices.IndexFunc(e.stack.Moved, func(o Moved) bool { return o.From == m.From }); same >= 0 {
			e.fail(e.movedAt[m.Origin], "Moved twice", "%s moves to %s already, at %s. Take one of the two out.", m.From, e.stack.Moved[same].To, e.stack.Moved[same].Origin)
			continue
		}
		e.stack.Moved = append(e.stack.Moved, m)
	}
}

func (e *evaluator) removedBlock(b *block) {
	from, n, ok := e.written(b.args["from"])
	if !ok {
		return
	}
	if n != nil && from.Block() == n.address() {
		e.fail(b.args["from"].expr.Range(), "Still declared", "%s is declared at %s, so it is not removed. Take one of the two blocks out.", n.address(), place(n.at()))
		return
	}
	if from.Kind() == "volume" && e.constantFlag(b.args["destroy"], true) {
		e.fail(b.at, "Volume would be destroyed", "No plan destroys a volume. To let go of %s and keep its disk, write: destroy = false", from)
		return
	}
	e.stack.Removed = append(e.stack.Removed, Removed{From: from, Destroy: e.constantFlag(b.args["destroy"], true), Origin: position(b.at)})
}

func (e *evaluator) importBlock(b *block) {
	to, n, ok := e.written(b.args["to"])
	from := e.constantText(b.args["from"])
	if !ok {
		return
	}
	switch {
	case n == nil:
		e.fail(b.args["to"].expr.Range(), "Unknown reference", "%s is not declared. Declare what shall be imported: %s %q { ... }", to, to.Kind(), strings.TrimPrefix(string(to.Block()), to.Kind()+"."))
	case to.Kind() == "module" || n.kind == "module":
		e.fail(b.args["to"].expr.Range(), "Invalid to", "A vm or a volume of the project itself can be imported. Write: to = volume.NAME")
	case from == "" && b.args["from"] != nil:
		e.fail(b.args["from"].expr.Range(), "Invalid from", "It is the path of a %s, as a constant. Write, for example: from = %q", map[string]string{"vm": "VM's directory", "volume": "disk image"}[to.Kind()], "disk.qcow2")
	case from != "":
		e.stack.Imports = append(e.stack.Imports, Import{To: to, From: from, Origin: position(b.at)})
	}
}

// profiles switches off the VMs of profiles that nobody asked for.
func (e *evaluator) profiles() {
	on, off := map[Address]bool{}, map[Address]hcl.Range{}
	first := map[string]hcl.Range{}
	name := map[Address]string{}
	for _, b := range e.declared.statements["profile"] {
		if b.name == "" || b.args["members"] == nil {
			continue
		}
		if at, twice := first[b.name]; twice {
			e.fail(b.at, "Duplicate profile", "profile.%s is declared already at %s. Join the two.", b.name, place(at))
			continue
		}
		first[b.name] = b.at
		for _, member := range e.members(b.args["members"]) {
			if slices.Contains(e.in.Profiles, b.name) {
				on[member] = true
			} else {
				off[member], name[member] = b.at, b.name
			}
		}
	}
	e.stack.Profiles = sortedKeys(first)
	for _, wanted := range e.in.Profiles {
		if _, there := first[wanted]; !there {
			hint := didYouMean("--profile ", wanted, e.stack.Profiles)
			if hint == "" {
				hint = " There are: " + listed(e.stack.Profiles) + "."
			}
			e.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unknown profile", Detail: fmt.Sprintf("No profile %q is declared.%s", wanted, hint)})
		}
	}
	for member := range off {
		if !on[member] {
			delete(e.stack.VMs, member)
		} else {
			delete(off, member)
		}
	}
	e.without(off, name)
}

// without drops what off VMs leave behind, and reports who needs them.
func (e *evaluator) without(off map[Address]hcl.Range, profile map[Address]string) {
	if len(off) == 0 {
		return
	}
	for _, a := range e.stack.Addresses() {
		for _, dep := range e.stack.VMs[a].DependsOn {
			if _, isOff := off[dep]; isOff {
				e.fail(off[dep], "Profile is needed", "%s depends on %s, which only runs with this profile. Switch it on with --profile %s, or make %s a member too.", a, dep, profile[dep], a)
			}
		}
	}
	for _, out := range e.declared.nodes["output"] {
		for b := range out.behind {
			for _, a := range b.vm.instances {
				if _, isOff := off[a]; isOff && (b.instance == "" || b.instance == a) {
					delete(e.stack.Outputs, out.name)
				}
			}
		}
	}
	e.claims.forget(off)
}

// members are the VMs that a profile's list names.
func (e *evaluator) members(arg *argument) []Address {
	items, diags := hcl.ExprList(arg.expr)
	if diags.HasErrors() {
		e.fail(arg.expr.Range(), "Invalid members", "It is a list of VMs and modules. Write: members = [vm.NAME]")
		return nil
	}
	var all []Address
	for _, item := range items {
		a, n, problem := e.addressIn(item)
		switch {
		case problem != "" || a.Kind() == "volume":
			e.fail(item.Range(), "Invalid members", "%s is no VM and no module. Write: members = [vm.NAME]", shownItem(item))
			continue
		case n == nil:
			t, _ := hcl.AbsTraversalForExpr(item)
			hint := didYouMean(t.RootName()+".", string(a.Block()[len(t.RootName())+1:]), e.declared.names(t.RootName()))
			e.fail(item.Range(), "Unknown reference", "%s is not declared.%s", a.Block(), hint)
			continue
		}
		n.used = true
		for vm := range e.stack.VMs {
			if a.Covers(vm) {
				all = append(all, vm)
			}
		}
	}
	return all
}

// constantFlag reads a constant true or false.
func (e *evaluator) constantFlag(arg *argument, otherwise bool) bool {
	if arg == nil {
		return otherwise
	}
	v, ok := e.value(arg, e.constants())
	if ok {
		v, ok = e.convert(arg, v, cty.Bool, nil)
	}
	if !ok || v.IsNull() || !v.IsKnown() {
		return otherwise
	}
	v, _ = reveal(v)
	return v.True()
}
