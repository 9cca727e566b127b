package apt

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// module is one kernel module, uncompressed. What it says of itself stands in
// its .modinfo section; depmod(8) makes its tables from the same.
type module struct {
	name    string
	path    string // below /lib/modules/VERSION, ending in .ko
	content []byte
	depends []string // names
	pre     []string // names that should be loaded before, if they exist
	info    map[string][]string
	all     []string // paths of all modules it needs, nearest first
}

// moduleSet is all modules of a kernel.
type moduleSet struct {
	read        func(path string) ([]byte, error)
	files       map[string]string // name -> path below root, as packaged
	builtin     map[string]bool
	builtinText string
	root        string
}

var moduleFile = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\.ko(\.xz|\.zst|\.gz)?$`)
})

// moduleName is the name of a module by the kernel's rule: "-" is "_".
func moduleName(file string) string {
	name := moduleFile().ReplaceAllString(path.Base(file), "")
	return strings.ReplaceAll(name, "-", "_")
}

func (f kernelFiles) moduleSet(root string) (moduleSet, error) {
	set := moduleSet{read: f.read, root: root, files: map[string]string{}, builtin: map[string]bool{}}
	for _, file := range f.names {
		if inside, ok := strings.CutPrefix(file, root); ok && moduleFile().MatchString(inside) {
			set.files[moduleName(inside)] = inside
		}
	}
	text, err := f.read(root + "modules.builtin")
	if err != nil {
		return moduleSet{}, err
	}
	set.builtinText = string(text)
	for line := range strings.Lines(set.builtinText) {
		set.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	return set, nil
}

// closure is the modules that names need, themselves included, sorted by
// path. Names that the kernel has built in or lacks are left out.
func (s moduleSet) closure(names []string) ([]module, error) {
	found := map[string]module{}
	for queue := slices.Clone(names); len(queue) > 0; queue = queue[1:] {
		name := queue[0]
		file, ok := s.files[name]
		if _, seen := found[name]; seen || !ok || s.builtin[name] {
			continue
		}
		m, err := s.open(name, file)
		if err != nil {
			return nil, err
		}
		found[name] = m
		queue = append(queue, append(m.depends, m.pre...)...)
	}
	modules := slices.SortedFunc(maps.Values(found), func(a, b module) int { return strings.Compare(a.path, b.path) })
	for i, m := range modules {
		modules[i].all = allPaths(m, found)
	}
	return modules, nil
}

// allPaths lists what m needs, so that loading from the last to the first
// works, as in modules.dep.
func allPaths(m module, found map[string]module) []string {
	var paths []string
	var visit func(module)
	visit = func(m module) {
		for _, name := range m.depends {
			dep, ok := found[name]
			if !ok {
				continue // built in
			}
			paths = slices.DeleteFunc(paths, func(p string) bool { return p == dep.path })
			paths = append(paths, dep.path)
			visit(dep)
		}
	}
	visit(m)
	return paths
}

func (s moduleSet) open(name, file string) (module, error) {
	packed, err := s.read(s.root + file)
	if err != nil {
		return module{}, err
	}
	content, err := decompress(file, packed)
	if err != nil {
		return module{}, fmt.Errorf("module %s: %w", file, err)
	}
	m := module{name: name, content: content}
	m.path = file[:strings.LastIndex(file, ".ko")+len(".ko")]
	if m.info, err = modinfo(content); err != nil {
		return module{}, fmt.Errorf("module %s: %w", file, err)
	}
	for _, list := range m.info["depends"] {
		for dep := range strings.SplitSeq(list, ",") {
			if dep != "" {
				m.depends = append(m.depends, moduleName(dep))
			}
		}
	}
	for _, soft := range m.info["softdep"] {
		m.pre = append(m.pre, softPre(soft)...)
	}
	return m, nil
}

// softPre reads "pre: a b post: c".
func softPre(soft string) []string {
	var names []string
	pre := false
	for word := range strings.FieldsSeq(soft) {
		if strings.HasSuffix(word, ":") {
			pre = word == "pre:"
		} else if pre {
			names = append(names, moduleName(word))
		}
	}
	return names
}

func decompress(name string, content []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch path.Ext(name) {
	case ".ko":
		return content, nil
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(content))
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(content))
	case ".zst":
		r, err = zstd.NewReader(bytes.NewReader(content), zstd.WithDecoderConcurrency(1))
	default:
		return nil, fmt.Errorf("unknown compression %q", path.Ext(name))
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// modinfo reads the key=value strings of a module.
func modinfo(content []byte) (map[string][]string, error) {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	info := map[string][]string{}
	for item := range bytes.SplitSeq(data, []byte{0}) {
		if key, value, ok := strings.Cut(string(item), "="); ok {
			info[key] = append(info[key], value)
		}
	}
	return info, nil
}

// depTable is modules.dep of depmod(8).
func depTable(modules []module) string {
	var text strings.Builder
	for _, m := range modules {
		text.WriteString(m.path + ":")
		for _, dep := range m.all {
			text.WriteString(" " + dep)
		}
		text.WriteString("\n")
	}
	return text.String()
}

func aliasTable(modules []module) string {
	var text strings.Builder
	for _, m := range modules {
		for _, alias := range m.info["alias"] {
			fmt.Fprintf(&text, "alias %s %s\n", alias, m.name)
		}
	}
	return text.String()
}

func softdepTable(modules []module) string {
	var text strings.Builder
	for _, m := range modules {
		for _, soft := range m.info["softdep"] {
			fmt.Fprintf(&text, "softdep %s %s\n", m.name, soft)
		}
	}
	return text.String()
}

func sortedKeys[V any](set map[string]V) []string { return slices.Sorted(maps.Keys(set)) }
