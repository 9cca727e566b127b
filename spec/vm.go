package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// mostInstances bounds for_each and count, against slips of the keyboard.
const mostInstances = 100_000

// vm evaluates every instance of a vm block.
func (e *evaluator) vm(n *node) {
	scope := e.scope(n)
	each, ok := e.repetitions(n, scope)
	n.tainted = n.tainted || !ok
	deps, conditions := e.dependsOn(n), e.conditions(n)
	n.env = splitEnv(n.block.args["env"], e.report)
	for _, r := range each {
		i := &instance{evaluator: e, node: n, repetition: r, ctx: scope}
		if r.variables != nil {
			i.ctx = scope.NewChild()
			i.ctx.Variables = r.variables
		}
		i.evaluate()
		n.tainted = n.tainted || i.failed
		if !ok {
			continue // only looked at for more mistakes
		}
		i.vm.DependsOn, i.vm.Conditions = deps, conditions
		i.vm.Origins = n.shareOrigins(i.vm.Origins)
		n.instances = append(n.instances, i.vm.Address)
		n.keys = append(n.keys, r.key)
		e.stack.VMs[i.vm.Address] = i.vm
		e.agentVMs(n, i.vm, i.agentImage)
	}
	n.value = cty.DynamicVal
	if n.used && !n.tainted {
		n.value = e.vmValue(n)
	}
}

// emptyOrigins is a map for the next instance to fill.
func (n *node) emptyOrigins() map[string]Pos {
	m := n.spare
	if n.spare = nil; m == nil {
		return make(map[string]Pos, 8)
	}
	clear(m)
	return m
}

// shareOrigins gives the origins of the instance before if they are the same:
// a thousand instances are written in one place.
func (n *node) shareOrigins(m map[string]Pos) map[string]Pos {
	if maps.Equal(m, n.origins) {
		n.spare = m
		return n.origins
	}
	n.origins = m
	return m
}

// repetition is what makes one instance of a block differ from the next.
type repetition struct {
	address   Address
	suffix    string // of the name
	key       string
	variables map[string]cty.Value
}

// repetitions evaluates for_each or count. If that fails, it gives one
// repetition with nothing known, in which other mistakes still show.
func (e *evaluator) repetitions(n *node, ctx *hcl.EvalContext) ([]repetition, bool) {
	b := n.block
	if b.args["for_each"] != nil && b.args["count"] != nil {
		e.fail(b.args["count"].at, "Both for_each and count", "%s has for_each already. Take one of them out.", n.address())
	}
	switch n.repeats() {
	case "for_each":
		each, ok := e.forEach(n, b.args["for_each"], ctx)
		if !ok {
			each = []repetition{{address: n.address(), variables: unknownEach}}
		}
		return each, ok && b.args["count"] == nil
	case "count":
		each, ok := e.count(n, b.args["count"], ctx)
		if !ok {
			each = []repetition{{address: n.address(), variables: unknownCount}}
		}
		return each, ok
	}
	return []repetition{{address: n.address()}}, true
}

var (
	unknownEach  = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.String), "value": cty.DynamicVal})}
	unknownCount = map[string]cty.Value{"count": cty.ObjectVal(map[string]cty.Value{"index": cty.UnknownVal(cty.Number)})}
)

func (e *evaluator) forEach(n *node, arg *argument, ctx *hcl.EvalContext) ([]repetition, bool) {
	v, ok := e.value(arg, ctx)
	if !ok {
		return nil, false
	}
	detail := badForEach(v)
	var pairs []keyValue
	if detail == "" {
		pairs, detail = pairsOf(v)
	}
	switch {
	case detail == keysWait && !n.tainted:
		e.notKnown(n, arg, ctx)
	case detail != "" && detail != keysWait:
		e.fail(arg.expr.Range(), "Invalid for_each", "%s", detail)
	}
	if detail != "" {
		return nil, false
	}
	all := make([]repetition, 0, len(pairs))
	for _, pair := range pairs {
		name := pair.key.AsString()
		if name == "" || strings.ContainsFunc(name, unprintable) {
			e.mistake(arg, ctx, "Invalid for_each", "The key %q is empty or cannot be printed. Write keys of letters and digits.", name)
			return nil, false
		}
		all = append(all, repetition{
			address: keyed(n.address(), name), suffix: "-" + name, key: name,
			variables: map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": pair.key, "value": pair.value})},
		})
	}
	return all, true
}

type keyValue struct{ key, value cty.Value }

// pairsOf gives the elements of a map, or those of a set as keys and values,
// sorted by key. Else it says what is wrong with one of them.
func pairsOf(v cty.Value) (pairs []keyValue, detail string) {
	if !v.Type().IsSetType() {
		elements := v.AsValueMap()
		for _, key := range sortedKeys(elements) {
			pairs = append(pairs, keyValue{cty.StringVal(key), elements[key]})
		}
		return pairs, ""
	}
	for _, element := range v.AsValueSlice() {
		switch {
		case element.IsMarked():
			return nil, keysSecret
		case !element.IsKnown():
			return nil, keysWait
		case element.IsNull():
			return nil, "The set contains null. Take it out, for example with compact()."
		}
		pairs = append(pairs, keyValue{element, element})
	}
	return pairs, ""
}

const (
	keysWait   = "not known yet"
	keysSecret = "The value is sensitive, and instance keys are shown everywhere. Use nonsensitive() if it may be seen."
)

// badForEach says what is wrong with the value, or "".
func badForEach(v cty.Value) string {
	ty := v.Type()
	switch {
	case v.IsMarked():
		return keysSecret
	case v.IsNull():
		return "The value is null. Write a map or a set; an empty one for no instances: {}"
	case ty.IsListType() || ty.IsTupleType():
		return "It takes a map or a set of strings, and this is a list. Write: for_each = toset([...])"
	case !v.IsKnown() || ty.IsSetType() && ty.HasDynamicTypes():
		return keysWait
	case !ty.IsSetType() && !ty.IsMapType() && !ty.IsObjectType():
		return "It takes a map or a set of strings. Write: for_each = toset([\"blue\", \"green\"])"
	case v.LengthInt() > mostInstances:
		return "That is more than 100000 instances. Write a smaller map or set."
	case ty.IsSetType() && ty.ElementType() != cty.String && v.LengthInt() > 0:
		return "Instance keys are strings, and this is a set of something else. Write: for_each = toset([for x in ... : tostring(x)])"
	}
	return ""
}

func (e *evaluator) count(n *node, arg *argument, ctx *hcl.EvalContext) ([]repetition, bool) {
	v, ok := e.value(arg, ctx)
	if !ok {
		return nil, false
	}
	v, err := convert.Convert(v, cty.Number)
	number, whole := wholeNumber(v)
	switch {
	case err == nil && v.IsMarked():
		e.fail(arg.expr.Range(), "Invalid count", "The value is sensitive, and the number of instances shows everywhere. Use nonsensitive() if it may be seen.")
		return nil, false
	case err == nil && !v.IsKnown():
		if !n.tainted {
			e.notKnown(n, arg, ctx)
		}
		return nil, false
	case err != nil, !whole, number < 0, number > mostInstances:
		e.mistake(arg, ctx, "Invalid count", "It takes a whole number from 0 to %d. Write, for example: count = 2", mostInstances)
		return nil, false
	}
	var all []repetition
	for index := range number {
		value := cty.NumberIntVal(int64(index))
		a := indexed(n.address(), index)
		all = append(all, repetition{
			address: a, suffix: "-" + strings.Trim(string(a[len(n.address()):]), "[]"),
			variables: map[string]cty.Value{"count": cty.ObjectVal(map[string]cty.Value{"index": value})},
		})
	}
	return all, true
}

// dependsOn lists the VMs behind a block's values and in its depends_on. All
// its instances share the list.
func (e *evaluator) dependsOn(n *node) []Address {
	set := map[Address]bool{}
	for b := range n.behind {
		switch {
		case b.instance == "":
			for _, a := range b.vm.instances {
				set[a] = true
			}
		case slices.Contains(b.vm.instances, b.instance):
			set[b.instance] = true
		case !b.vm.tainted:
			e.missingDependency(n, b)
		}
	}
	if len(set) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(set))
}

// missingDependency reports an instance in depends_on that is not there. In
// other places the evaluation finds it, if it matters.
func (e *evaluator) missingDependency(n *node, b behind) {
	arg := n.block.args["depends_on"]
	if arg == nil {
		return
	}
	for _, ref := range arg.refs {
		if ref.target != b.vm || len(ref.traversal) < 3 {
			continue
		}
		if key, ok := literalKey(ref.traversal[2]); ok {
			if summary, detail := missing(ref); detail != "" && string(b.instance) == string(b.vm.address())+"["+showKey(key)+"]" {
				e.fail(ref.traversal.SourceRange(), summary, "%s", detail)
			}
		}
	}
}
