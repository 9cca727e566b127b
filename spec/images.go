package spec

import (
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// imageType is what image.x and template.x evaluate to. It serves only as the
// image of a vm.
var imageType = cty.Object(map[string]cty.Type{"address": cty.String})

func imageValue(a Address) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"address": cty.StringVal(string(a))})
}

var sha256Form = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-f]{64}$`)
})

func (e *evaluator) image(n *node) {
	f := e.fields(n)
	img := Image{Address: n.address(), Origin: position(n.block.at)}
	if refs := f.refs(n.block, "source"); len(refs) > 0 {
		img.Source, img.Fallbacks = refs[0], refs[1:]
	}
	if sum, ok := f.text(n.block, "sha256"); ok {
		img.SHA256 = strings.ToLower(strings.TrimPrefix(sum, "sha256:"))
		if !sha256Form().MatchString(img.SHA256) {
			f.wrong(n.block, "sha256", "Invalid checksum", "A SHA-256 is 64 hexadecimal characters, and this has %d. Write the first column of what `sha256sum FILE` prints.", len(img.SHA256))
		}
	}
	img.Arch = f.arch(n.block)
	e.keepImage(n, f, img)
}

// Architectures of guests, as Go names them.
const (
	ArchAMD64 = "amd64"
	ArchARM64 = "arm64"
)

// otherArchNames are those that others have.
var otherArchNames = map[string]string{"x86_64": ArchAMD64, "x86-64": ArchAMD64, "x64": ArchAMD64, "aarch64": ArchARM64, "armv8": ArchARM64}

// arch reads what kind of computer an image is for; "" if it is this one's.
func (f *fields) arch(b *block) string {
	arch, ok := f.text(b, "arch")
	known := []string{ArchAMD64, ArchARM64}
	switch {
	case !ok || arch == f.in.Arch:
		return ""
	case !slices.Contains(known, arch):
		hint := didYouMean("", arch, known)
		if ours := otherArchNames[arch]; ours != "" {
			hint = fmt.Sprintf(" Here, it is called %q.", ours)
		}
		f.wrong(b, "arch", "Unknown architecture", "There is no architecture %q.%s Write %q or %q, or nothing for this computer's.", arch, hint, ArchAMD64, ArchARM64)
	}
	return arch
}

// refs reads where an image comes from: a ref, or a list of refs in the order
// in which they are tried.
func (f *fields) refs(b *block, name string) []string {
	arg := b.args[name]
	if arg == nil {
		return nil
	}
	v, ok := f.value(arg, f.ctx)
	if !ok {
		f.failed = true
		return nil
	}
	if t := v.Type(); t.IsSetType() {
		f.wrong(b, name, "Invalid source", "The order in which refs are tried counts, and a set has none. Write a list: %s = [\"REF\", \"REF\"]", name)
		return nil
	} else if t.IsTupleType() || t.IsListType() {
		return f.refList(b, name)
	}
	ref, ok := f.text(b, name)
	if !ok {
		return nil
	}
	if detail := badSource(ref, f.in.Sources); detail != "" {
		f.wrong(b, name, "Invalid source", "%s", detail)
		return nil
	}
	return []string{ref}
}

func (f *fields) refList(b *block, name string) []string {
	v, ok := f.get(b, name, cty.List(cty.String))
	if !ok {
		return nil
	}
	var refs []string
	for i, element := range v.AsValueSlice() {
		detail := "It is null. Take it out."
		if !element.IsNull() {
			ref := element.AsString()
			detail = badSource(ref, f.in.Sources)
			if slices.Contains(refs, ref) {
				detail = fmt.Sprintf("%q stands before it already. Take one of them out.", ref)
			}
			refs = append(refs, ref)
		}
		if detail != "" {
			f.wrong(b, name, "Invalid source", "Of its refs, number %d: %s", i+1, detail)
		}
	}
	if v.LengthInt() == 0 {
		f.wrong(b, name, "Invalid source", "The list is empty. Write at least one ref: %s = [\"https://example.org/disk.qcow2\", \"file:disk.qcow2\"]", name)
	}
	return refs
}

func (e *evaluator) template(n *node) {
	f := e.fields(n)
	t := &Template{}
	b := n.block
	e.oneTemplate(n, f)
	if file, ok := f.text(b, "file"); ok {
		clean, detail := e.templateFile(file)
		if t.File = clean; detail != "" {
			f.wrong(b, "file", "No such template", "%s", detail)
		}
	}
	if name, ok := f.text(b, "name"); ok {
		found, detail := e.templateNamed(name)
		if *t = found; detail != "" {
			f.wrong(b, "name", "No such template", "%s", detail)
		}
	}
	if builtin, ok := f.text(b, "builtin"); ok {
		t.Builtin = builtin
		if detail := unknownBuiltin(builtin, e.in.Builtins); detail != "" {
			if _, none := e.templateNamed(builtin); none == "" {
				detail += fmt.Sprintf(" For the project's own or yours, write: name = %q", builtin)
			}
			f.wrong(b, "builtin", "Unknown builtin template", "%s", detail)
		}
	}
	if vars, ok := f.get(b, "vars", cty.Map(cty.String)); ok {
		t.Vars = stringMap(vars)
	}
	e.keepImage(n, f, Image{Address: n.address(), Template: t, Arch: f.arch(b), Origin: position(b.at)})
}

// oneTemplate demands that a template block says once which one it is.
func (e *evaluator) oneTemplate(n *node, f *fields) {
	var given []string
	for _, argument := range []string{"file", "name", "builtin"} {
		if n.block.args[argument] != nil {
			given = append(given, argument)
		}
	}
	switch {
	case len(given) > 1:
		e.fail(n.block.args[given[1]].at, "Two templates in one", "A template has one of file, name and builtin, and this has %s. Take all but one out.", strings.Join(given, " and "))
		f.failed = true
	case len(given) == 0:
		e.fail(n.block.at, "Missing file", "A template needs a LinuxKit YAML file or the name of one. Add: file = \"NAME.yml\", or: name = %q", first(e.in.Builtins, "minimal"))
		f.failed = true
	}
}

func (e *evaluator) keepImage(n *node, f *fields, img Image) {
	n.value = imageValue(n.address())
	n.tainted = n.tainted || f.failed
	e.stack.Images[n.address()] = img
}

var schemeForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z][a-z0-9+-]*):(.+)$`)
})

// badSource says what is wrong with a ref, or "". schemes may be nil if they
// are not known.
func badSource(ref string, schemes []string) string {
	m := schemeForm().FindStringSubmatch(ref)
	switch {
	case strings.ContainsFunc(ref, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "It contains a control character. Write it on one line."
	case m == nil && ref == "":
		return `It is empty. Write where the image comes from, such as "file:disk.qcow2" or "https://example.org/disk.qcow2".`
	case m == nil:
		return fmt.Sprintf("It does not say what kind of source it is. Write %q for a file of the project.", "file:"+ref)
	case m[1] == "http" && !ownHost(ref):
		return "Plain http is for this computer alone, since anybody on the way could change what comes. Write https."
	case schemes != nil && !slices.Contains(schemes, m[1]):
		return fmt.Sprintf("There is no source %q.%s lkup knows %s.", m[1], didYouMean("", m[1], schemes), listed(schemes))
	}
	return ""
}

// ownHost reports whether a URL names this computer.
func ownHost(ref string) bool {
	u, err := url.Parse(ref)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// templateFile finds a template of the project.
func (e *evaluator) templateFile(file string) (clean, detail string) {
	clean, err := inProject(file)
	if err != nil {
		return "", sentence(err)
	}
	info, err := fs.Stat(e.reader.project, clean)
	switch {
	case err != nil:
		return clean, fmt.Sprintf("%q cannot be read: %s.%s", file, cause(err), e.similarFile(clean))
	case info.IsDir():
		return clean, fmt.Sprintf("%q is a directory. Write the path of a YAML file in it.", file)
	}
	return clean, ""
}

// similarFile offers a file beside the one that is not there.
func (e *evaluator) similarFile(name string) string {
	dir := path.Dir(name)
	entries, err := fs.ReadDir(e.reader.project, dir)
	if err != nil {
		return " Paths are relative to the project."
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, path.Join(dir, entry.Name()))
		}
	}
	if hint := didYouMean("", name, names); hint != "" {
		return hint
	}
	return " Paths are relative to the project. Write that file, or name another."
}

// TemplateDir is where templates that have a name lie, in the project and in
// the user's settings; NAME.yml has the name NAME.
const TemplateDir = "templates"

var templateName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
})

// TemplateName is the name that a file of a template folder gives its
// template. ok is false for other files.
func TemplateName(file string) (name string, ok bool) {
	name, ok = strings.CutSuffix(file, ".yml")
	return name, ok && templateName().MatchString(name)
}

// TemplatesIn lists the names of the templates in a folder, sorted. A folder
// that is not there has none.
func TemplatesIn(files fs.FS, folder string) []string {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if name, ok := TemplateName(entry.Name()); ok && !entry.IsDir() {
			names = append(names, name)
		}
	}
	return names
}

// FindTemplate looks for a name in the project, then among the user's own
// templates, then among those that lkup brings.
func FindTemplate(name string, project, user, builtin []string) (t Template, ok bool) {
	switch {
	case slices.Contains(project, name):
		return Template{File: path.Join(TemplateDir, name+".yml")}, true
	case slices.Contains(user, name):
		return Template{User: name}, true
	case slices.Contains(builtin, name):
		return Template{Builtin: name}, true
	}
	return Template{}, false
}

func (e *evaluator) templateNamed(name string) (t Template, detail string) {
	project := TemplatesIn(e.reader.project, TemplateDir)
	if t, ok := FindTemplate(name, project, e.in.UserTemplates, e.in.Builtins); ok {
		return t, ""
	}
	if !templateName().MatchString(name) {
		return t, fmt.Sprintf("%q is no name of a template: a name has letters, digits, _ and -. For a path, write: file = %q", name, name)
	}
	file := path.Join(TemplateDir, name+".yml")
	if other := path.Join(TemplateDir, name+".yaml"); exists(e.reader.project, other) {
		return t, fmt.Sprintf("There is a file %q. Rename it to %q, or write: file = %q", other, file, other)
	}
	known := slices.Sorted(slices.Values(slices.Concat(project, e.in.UserTemplates, e.in.Builtins)))
	return t, fmt.Sprintf("No template is called %q: the project has no %q, you have none of that name, and lkup brings none.%s There is %s.",
		name, file, didYouMean("", name, known), listed(slices.Compact(known)))
}

func exists(project fs.FS, name string) bool {
	_, err := fs.Stat(project, name)
	return err == nil
}

func unknownBuiltin(name string, known []string) string {
	if slices.Contains(known, name) {
		return ""
	}
	return fmt.Sprintf("lkup brings no template %q.%s It brings %s.", name, didYouMean("", name, known), listed(known))
}

func first(names []string, otherwise string) string {
	if len(names) == 0 {
		return otherwise
	}
	return slices.Sorted(slices.Values(names))[0]
}

// imageOf reads the image of a vm: a reference, or a string that is short for
// an image or template block of its own.
func (e *evaluator) imageOf(v cty.Value, at hcl.Range) (Address, string) {
	if v.Type().IsObjectType() && v.Type().Equals(imageType) {
		a := Address(v.GetAttr("address").AsString())
		if _, ok := e.stack.Images[a]; ok {
			return a, ""
		}
	}
	if v.Type() != cty.String {
		return "", "It must be an image or a template. Write: image = template.NAME or image = image.NAME"
	}
	return e.shorthand(v.AsString(), at)
}

func (e *evaluator) shorthand(text string, at hcl.Range) (Address, string) {
	a := Address(text)
	for _, root := range []string{"image", "template"} {
		if strings.HasPrefix(text, root+".") {
			return "", fmt.Sprintf("This is a text, not a reference. Write it without quotes: image = %s (in JSON: \"${%s}\")", text, text)
		}
		if e.declared.nodes[root][text] != nil {
			return "", fmt.Sprintf("Did you mean image = %s.%s?", root, text)
		}
	}
	img := Image{Address: a, Source: text, Origin: position(at)}
	if builtin, ok := strings.CutPrefix(text, "builtin:"); ok {
		if detail := unknownBuiltin(builtin, e.in.Builtins); detail != "" {
			return "", detail
		}
		img.Source, img.Template = "", &Template{Builtin: builtin}
	} else if name, ok := strings.CutPrefix(text, "template:"); ok {
		t, detail := e.templateNamed(name)
		if detail != "" {
			return "", detail
		}
		img.Source, img.Template = "", &t
	} else if !schemeForm().MatchString(text) && (strings.HasSuffix(text, ".yml") || strings.HasSuffix(text, ".yaml")) {
		clean, detail := e.templateFile(text)
		if detail != "" {
			return "", detail
		}
		img.Source, img.Template = "", &Template{File: clean}
	} else if _, detail := e.templateNamed(text); detail == "" {
		return "", fmt.Sprintf("It does not say what kind of source it is. Write %q for the template of that name.", "template:"+text)
	} else if detail := badSource(text, e.in.Sources); detail != "" {
		return "", detail
	}
	if _, ok := e.stack.Images[a]; !ok {
		e.stack.Images[a] = img
	}
	return a, ""
}
