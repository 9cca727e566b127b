// Package lock keeps what refs resolved to in a file that is committed with
// the project, lkup.lock.hcl, and puts it before sources and components: what
// is locked is not resolved again.
//
// It touches no disk. Sources know nothing of it.
package lock

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/lkup/lkup/sources"
)

// FileName is the lock file's name in the project's directory.
const FileName = "lkup.lock.hcl"

// What is locked, as the file's blocks are called.
const (
	image     = "image"
	component = "component"
	program   = "package" // of npm, for an agent
)

// Key is one thing that resolves: a ref, for guests of one architecture.
type Key struct {
	Kind string // image, component or package
	Ref  string // as written
	Arch string // GOARCH
}

// Component is the key of a template's component.
func Component(ref, arch string) Key { return Key{component, ref, arch} }

// Package is the key of a package that is installed for an agent.
func Package(ref, arch string) Key { return Key{program, ref, arch} }

// Packages are the pins of packages for guests of arch, by ref.
func (p Pins) Packages(arch string) map[string]sources.Digest {
	all := map[string]sources.Digest{}
	for key, d := range p {
		if key.Kind == program && key.Arch == arch {
			all[key.Ref] = d
		}
	}
	return all
}

// Pins are what keys resolved to.
type Pins map[Key]sources.Digest

const head = `# lkup writes this file: what the refs of this stack resolved to, when they
# first did. Commit it, and everybody gets the same images. Newer ones come
# with: lkup apply --upgrade
`

// Format writes pins as a lock file. The same pins give the same bytes.
func (p Pins) Format() []byte {
	file := hclwrite.NewEmptyFile()
	var at *hclwrite.Body
	var last Key
	for _, key := range slices.SortedFunc(maps.Keys(p), compare) {
		if at == nil || key.Kind != last.Kind || key.Ref != last.Ref {
			file.Body().AppendNewline()
			at = file.Body().AppendNewBlock(key.Kind, []string{key.Ref}).Body()
		}
		at.SetAttributeValue(key.Arch, cty.StringVal(string(p[key])))
		last = key
	}
	return append([]byte(head), file.Bytes()...)
}

// compare puts images before components, and packages last, and sorts each.
func compare(a, b Key) int {
	kinds := []string{image, component, program}
	return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), strings.Compare(a.Ref, b.Ref), strings.Compare(a.Arch, b.Arch))
}

var archForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z][a-z0-9]*$`)
})

// reader gathers the pins of a file, and its mistakes.
type reader struct {
	pins  Pins
	seen  map[[2]string]bool
	diags hcl.Diagnostics
}

// Parse reads a lock file. All of its mistakes are reported, with ranges.
func Parse(content []byte, name string) (Pins, *hcl.File, hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig(content, name, hcl.InitialPos)
	if file == nil {
		return Pins{}, file, diags
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		panic("the native syntax has another body")
	}
	r := reader{pins: Pins{}, seen: map[[2]string]bool{}, diags: diags}
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		r.wrong(body.Attributes[name].NameRange, "Unexpected argument", "A lock file has image, component and package blocks, and nothing else. Take %q out.", name)
	}
	for _, block := range body.Blocks {
		r.block(block)
	}
	return r.pins, file, r.diags
}

func (r *reader) wrong(at hcl.Range, summary, detail string, args ...any) {
	r.diags = append(r.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: &at})
}

func (r *reader) block(block *hclsyntax.Block) {
	if block.Type != image && block.Type != component && block.Type != program {
		r.wrong(block.TypeRange, "Unexpected block", "A lock file has image, component and package blocks, and no %q.", block.Type)
		return
	}
	if len(block.Labels) != 1 {
		r.wrong(block.DefRange(), "Missing ref", "A block has one ref, as the stack or the template writes it: %s \"REF\" { ... }", block.Type)
		return
	}
	ref := block.Labels[0]
	id := [2]string{block.Type, ref}
	if r.seen[id] {
		r.wrong(block.DefRange(), "Locked twice", "There is another block for %s %q. Take one of them out; if git merged them, take the newer one's digest.", block.Type, ref)
		return
	}
	r.seen[id] = true
	for _, inner := range block.Body.Blocks {
		r.wrong(inner.TypeRange, "Unexpected block", "A block of a lock file has a digest for each architecture, and no blocks.")
	}
	for _, name := range slices.Sorted(maps.Keys(block.Body.Attributes)) {
		r.digest(Key{block.Type, ref, name}, block.Body.Attributes[name])
	}
}

func (r *reader) digest(key Key, attribute *hclsyntax.Attribute) {
	if !archForm().MatchString(key.Arch) {
		r.wrong(attribute.NameRange, "Unknown architecture", "Write an architecture as Go calls it: amd64 or arm64.")
		return
	}
	value, diags := attribute.Expr.Value(nil)
	if diags.HasErrors() || value.IsNull() || value.Type() != cty.String || !sources.Digest(value.AsString()).Valid() {
		r.wrong(attribute.Expr.Range(), "Invalid digest", "A digest is \"sha256:\" and 64 hexadecimal characters. Take this line out, and the next lkup apply writes it anew.")
		return
	}
	r.pins[key] = sources.Digest(value.AsString())
}
