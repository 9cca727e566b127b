package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// explain replaces a diagnostic about an index into a vm by one that says
// which indices there are. Others it passes through.
func (e *evaluator) explain(d *hcl.Diagnostic, arg *argument) *hcl.Diagnostic {
	if d.Subject == nil {
		d.Subject = arg.expr.Range().Ptr()
	}
	for _, ref := range arg.refs {
		if ref.target == nil || ref.target.kind != "vm" || !ref.traversal.SourceRange().Overlaps(*d.Subject) {
			continue
		}
		if summary, detail := missing(ref); detail != "" {
			better := *d
			better.Summary, better.Detail = summary, detail
			better.Subject = ref.traversal.SourceRange().Ptr()
			return &better
		}
	}
	return d
}

// missing finds what a reference to a vm asks for that is not there.
func missing(ref reference) (summary, detail string) {
	value, rest, name := ref.target.value, ref.traversal[2:], string(ref.target.address())
	if len(rest) > 0 {
		if key, ok := literalKey(rest[0]); ok {
			element, found := at(value, key)
			if !found {
				return "Unknown instance", noInstance(name, value, key)
			}
			value, rest = element, rest[1:]
			name += "[" + showKey(key) + "]"
		}
	}
	if len(rest) < 2 {
		return "", ""
	}
	attr, isAttr := rest[0].(hcl.TraverseAttr)
	key, isIndex := literalKey(rest[1])
	if !isAttr || !isIndex || !value.Type().IsObjectType() || !value.Type().HasAttribute(attr.Name) {
		return "", ""
	}
	held := value.GetAttr(attr.Name)
	if _, found := at(held, key); found || !held.IsKnown() || !held.Type().IsMapType() {
		return "", ""
	}
	if attr.Name == "port" {
		return "Unknown port", name + " forwards no guest port " + strings.Trim(showKey(key), `"`) + "; it forwards " + listed(keysOf(held)) +
			". Refer to one of those, or add to it: port { guest = " + strings.Trim(showKey(key), `"`) + " }"
	}
	return "Unknown element", name + "." + attr.Name + " has no element " + showKey(key) + "; it has " + listed(keysOf(held)) + "."
}

func noInstance(name string, value, key cty.Value) string {
	if value.Type().IsListType() {
		n := value.LengthInt()
		if n == 0 {
			return name + " has no instances: its count is 0."
		}
		return name + " has no instance " + showKey(key) + "; its instances are numbered from 0 to " + showKey(cty.NumberIntVal(int64(n-1))) + "."
	}
	detail := name + " has no instance " + showKey(key) + "; its keys are " + listed(keysOf(value)) + "."
	if best := nearest(strings.Trim(showKey(key), `"`), keysOf(value)); best != "" {
		detail += " Did you mean " + name + "[" + showKey(cty.StringVal(best)) + "]?"
	}
	return detail
}

// at indexes without complaint.
func at(collection, key cty.Value) (cty.Value, bool) {
	v, diags := hcl.Index(collection, key, nil)
	return v, !diags.HasErrors()
}

func keysOf(v cty.Value) []string {
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() || !v.CanIterateElements() || !v.Type().IsMapType() {
		return nil
	}
	return sortedKeys(v.AsValueMap())
}
