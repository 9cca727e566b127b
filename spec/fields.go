package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// fields reads arguments that must be known now. Absent and null are the same.
type fields struct {
	*evaluator
	node   *node
	ctx    *hcl.EvalContext
	failed bool
}

func (e *evaluator) fields(n *node) *fields {
	return &fields{evaluator: e, node: n, ctx: e.scope(n)}
}

func (f *fields) get(b *block, name string, want cty.Type) (cty.Value, bool) {
	arg := b.args[name]
	if arg == nil {
		return cty.NilVal, false
	}
	v, ok := f.value(arg, f.ctx)
	if ok {
		v, ok = f.convert(arg, v, want, f.ctx)
	}
	if !ok {
		f.failed = true
		return cty.NilVal, false
	}
	if f.kept(arg, v) {
		f.failed = true
		return cty.NilVal, false
	}
	v, _ = reveal(v)
	if !v.IsWhollyKnown() {
		f.failed = true
		if !f.node.tainted {
			f.notKnown(f.node, arg, f.ctx)
		}
		return cty.NilVal, false
	}
	return v, !v.IsNull()
}

func (f *fields) text(b *block, name string) (string, bool) {
	v, ok := f.get(b, name, cty.String)
	if !ok {
		return "", false
	}
	return v.AsString(), true
}

// wrong reports a bad value.
func (f *fields) wrong(b *block, name, summary, detail string, args ...any) {
	f.failed = true
	f.mistake(b.args[name], f.ctx, summary, detail, args...)
}
