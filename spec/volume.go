package spec

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// volumeType is what an expression sees of one volume.
var volumeType = cty.Object(map[string]cty.Type{"address": cty.String, "name": cty.String, "size": cty.String})

var volumeAttributes = []string{"name", "size"}

// volumeFormats are those that a driver writes.
var volumeFormats = []string{"raw", "qcow2"}

// volume evaluates every instance of a volume block.
func (e *evaluator) volume(n *node) {
	scope := e.scope(n)
	each, ok := e.repetitions(n, scope)
	n.tainted = n.tainted || !ok
	values := make([]cty.Value, 0, len(each))
	for _, r := range each {
		f := &fields{evaluator: e, node: n, ctx: scope}
		if r.variables != nil {
			f.ctx = scope.NewChild()
			f.ctx.Variables = r.variables
		}
		v := Volume{Address: r.address, Name: e.label(n, r.suffix), Format: "raw", Origin: position(n.block.at)}
		v.Size = f.size(n.block, "size", leastVolume)
		if format, given := f.text(n.block, "format"); given {
			v.Format = format
			if !slices.Contains(volumeFormats, format) {
				f.wrong(n.block, "format", "Unknown format", "There is no volume format %q.%s Write \"raw\" or \"qcow2\".", format, didYouMean("", format, volumeFormats))
			}
		}
		n.tainted = n.tainted || f.failed
		values = append(values, cty.ObjectVal(map[string]cty.Value{
			"address": cty.StringVal(string(v.Address)), "name": cty.StringVal(v.Name), "size": cty.StringVal(strconv.Itoa(v.Size) + "MiB"),
		}))
		if ok {
			n.instances = append(n.instances, v.Address)
			e.stack.Volumes[v.Address] = v
		}
	}
	n.value = cty.DynamicVal
	if ok {
		n.value = together(n, each, values)
	}
}

// size reads a size in MiB.
func (f *fields) size(b *block, name string, least int) int {
	v, ok := f.get(b, name, cty.DynamicPseudoType)
	if !ok {
		if b.args[name] != nil && !f.failed && !f.node.tainted {
			f.wrong(b, name, "Missing "+name, "The %s is null. Write, for example: %s", name, b.schema.required[name])
		}
		return 0
	}
	if n, isNumber := wholeNumber(v); isNumber {
		f.wrong(b, name, "Size without a unit", "A size is a text with a unit. Write: %s = %q", name, strconv.Itoa(n)+"GiB")
		return 0
	}
	if v.Type() != cty.String {
		f.wrong(b, name, "Wrong type", "A size is a text with a unit. Write, for example: %s = \"2GiB\"", name)
		return 0
	}
	mib, problem := parseSize(v.AsString(), least)
	if problem != "" {
		f.wrong(b, name, "Invalid size", "%s", problem)
	}
	return mib
}

// checkVolume checks a reference to a volume.
func (l *linker) checkVolume(t hcl.Traversal, target *node) bool {
	_, rest, ok := l.checkInstance(t, target)
	if !ok || len(rest) == 0 {
		return ok
	}
	step, isAttr := rest[0].(hcl.TraverseAttr)
	if !isAttr || slices.Contains(volumeAttributes, step.Name) {
		return true
	}
	hint := didYouMean("", step.Name, volumeAttributes)
	if hint == "" {
		hint = " It has " + listed(volumeAttributes) + "."
	}
	l.fail(t.SourceRange(), "Unknown attribute", "%s has no attribute %q that can be read.%s", target.address(), step.Name, hint)
	return false
}

// mount reads one mount block.
func (i *instance) mount(b *block) {
	v, ok := i.known(b, "volume", "", cty.DynamicPseudoType)
	if !ok {
		if arg := b.args["volume"]; arg != nil && !i.failed && !i.node.tainted {
			i.wrong(b, "volume", "Missing volume", "The volume is null. Write: volume = volume.NAME")
		}
		return
	}
	if !v.Type().Equals(volumeType) {
		i.wrong(b, "volume", "Invalid volume", "It must be a volume of this stack. Write: volume = volume.%s", i.oneVolume())
		return
	}
	m := Mount{Volume: Address(v.GetAttr("address").AsString())}
	m.Size = i.stack.Volumes[m.Volume].Size
	if v, state := i.get(b, "read_only", m.Attribute(), cty.Bool); state == present {
		m.ReadOnly = v.True()
	}
	i.mountPath(b, &m)
	i.vm.Origins[m.Attribute()] = position(b.at)
	for _, other := range i.vm.Mounts {
		if other.Volume == m.Volume {
			i.failed = true
			i.fail(b.at, "Duplicate mount", "%s has %s already. Take one of the two out.", i.address, m.Volume)
			return
		}
		if other.Path == m.Path && m.Path != "" {
			i.failed = true
			i.fail(b.at, "Duplicate mount", "%s has %s at %s already. Give one of the two another path.", i.address, other.Volume, m.Path)
			return
		}
	}
	for _, s := range i.vm.Shares {
		if s.Guest == m.Path {
			i.failed = true
			i.fail(b.at, "Duplicate mount", "%s shows the share of %q at %s already. Give one of the two another path.", i.address, s.Host, m.Path)
			return
		}
	}
	i.vm.Mounts = append(i.vm.Mounts, m)
	i.claims.addVolume(volumeClaim{volume: m.Volume, vm: i.address, readOnly: m.ReadOnly, at: b.at})
}

// LeastFileSystem is how large a volume must be to hold a file system, in MiB.
const LeastFileSystem = 16

// mountPath reads where the guest shows what lies on the volume.
func (i *instance) mountPath(b *block, m *Mount) {
	at, state := i.text(b, "path", m.Attribute())
	if state != present {
		return
	}
	if detail := badMountPath(at); detail != "" {
		i.wrong(b, "path", "Invalid path", "%s", detail)
		return
	}
	if m.Size != 0 && m.Size < LeastFileSystem {
		i.wrong(b, "path", "Volume too small", "What is mounted holds a file system, which needs %dMiB, and %s has %dMiB. Write in its block: size = \"%[1]dMiB\", or more.", LeastFileSystem, m.Volume, m.Size)
		return
	}
	m.Path = at
}

// badMountPath says what is wrong with a path for a volume.
func badMountPath(p string) string {
	clean := path.Clean("/" + p)
	first, _, _ := strings.Cut(strings.TrimPrefix(clean, "/"), "/")
	switch {
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' }):
		return `It contains a control character. Write a path such as "/var/lib/data".`
	case p == "" || clean == "/":
		return `A volume needs a directory of its own in the guest. Write a path such as "/var/lib/data".`
	case clean != p:
		return `A path in the guest is absolute and without detours. Write: path = "` + clean + `"`
	case first == "proc" || first == "sys" || first == "dev":
		return "/" + first + ` is the kernel's. Write a path such as "/var/lib/data".`
	}
	return ""
}

// oneVolume is a volume's name to type.
func (i *instance) oneVolume() string {
	if names := i.declared.names("volume"); len(names) > 0 {
		return names[0]
	}
	return "NAME"
}
