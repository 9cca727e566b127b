// Package arch keeps the picture in ARCHITECTURE.md true: it reads the
// module's Go files and reports every import, package name, init function and
// piece of package-level mutable state that the house does not allow.
//
// It parses the files itself. It starts no process, so that Go's test cache
// sees which files the answer depends on.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Check reads the module in root and returns what breaks the rules, one
// sentence each, sorted. Test files may import what they like; the rest holds
// for every file, whatever its build tags. A rule for a package that is not
// there is a violation too: a table that lists ghosts is not read.
func Check(root fs.FS, rules []Rule) ([]string, error) {
	packages, err := load(root)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, p := range packages {
		at := slices.IndexFunc(rules, func(r Rule) bool { return r.Package == p.dir })
		if at < 0 {
			found = append(found, fmt.Sprintf("%s is not in the import table: add it to internal/arch/rules.go", p.dir))
		} else {
			found = append(found, p.imports(rules[at])...)
			found = append(found, p.clock(rules[at])...)
		}
		found = append(found, p.names()...)
		found = append(found, p.inits()...)
		found = append(found, p.mutations()...)
	}
	for _, r := range rules {
		if !slices.ContainsFunc(packages, func(p *pkg) bool { return p.dir == r.Package }) {
			found = append(found, fmt.Sprintf("%s is in the import table and not in the tree", r.Package))
		}
	}
	slices.Sort(found)
	return found, nil
}

// pkg is the non-test files of one folder.
type pkg struct {
	dir   string
	fset  *token.FileSet
	files []*ast.File
}

// load parses every folder of root that holds Go files, but for testdata and
// hidden ones.
func load(root fs.FS) ([]*pkg, error) {
	byDir := map[string]*pkg{}
	var order []*pkg
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipped(entry.Name()) && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || skipped(entry.Name()) {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		p := byDir[path.Dir(name)]
		if p == nil {
			p = &pkg{dir: path.Dir(name), fset: token.NewFileSet()}
			byDir[p.dir] = p
			order = append(order, p)
		}
		file, err := parser.ParseFile(p.fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p.files = append(p.files, file)
		return nil
	})
	return order, err
}

// skipped follows the go command: it ignores these names too.
func skipped(name string) bool {
	return name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func (p *pkg) at(pos token.Pos) string {
	position := p.fset.Position(pos)
	return fmt.Sprintf("%s:%d", position.Filename, position.Line)
}

// imports compares what the files import with the rule.
func (p *pkg) imports(rule Rule) []string {
	var found []string
	for _, file := range p.files {
		for _, spec := range file.Imports {
			target := strings.Trim(spec.Path.Value, `"`)
			if ours, ok := strings.CutPrefix(target, Module+"/"); ok {
				if !slices.Contains(rule.Ours, ours) && !slices.Contains(rule.Ours, "*") {
					found = append(found, fmt.Sprintf("%s: %s may not import %s", p.at(spec.Pos()), p.dir, ours))
				}
				continue
			}
			for _, name := range rule.Never {
				if Capabilities()[name].covers(target) {
					found = append(found, fmt.Sprintf("%s: %s may not import %s (never %s)", p.at(spec.Pos()), p.dir, target, name))
				}
			}
		}
	}
	return found
}

// covers reports whether an import gives the capability.
func (c Capability) covers(target string) bool {
	below := func(parent string) bool { return target == parent || strings.HasPrefix(target, parent+"/") }
	return slices.ContainsFunc(c.Imports, below) && !slices.ContainsFunc(c.Except, below)
}

// clock finds uses of the clock in a package that must not have one.
func (p *pkg) clock(rule Rule) []string {
	if !slices.Contains(rule.Never, "clock") {
		return nil
	}
	var found []string
	for _, file := range p.files {
		name := importedAs(file, "time")
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := selector.X.(*ast.Ident); ok && name != "" && x.Name == name &&
				slices.Contains(Capabilities()["clock"].Time, selector.Sel.Name) {
				found = append(found, fmt.Sprintf("%s: %s may not use time.%s (never clock)", p.at(n.Pos()), p.dir, selector.Sel.Name))
			}
			return true
		})
	}
	return found
}

// importedAs is the name that a file gives an import; empty without it.
func importedAs(file *ast.File, target string) string {
	for _, spec := range file.Imports {
		if strings.Trim(spec.Path.Value, `"`) != target {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(target)
	}
	return ""
}

// names finds packages whose name says nothing.
func (p *pkg) names() []string {
	var found []string
	for _, part := range strings.Split(p.dir, "/") {
		if slices.Contains(forbiddenNames(), part) {
			found = append(found, fmt.Sprintf("%s: a folder named %q says nothing about what is in it", p.dir, part))
		}
	}
	for _, file := range p.files {
		if name := file.Name.Name; slices.Contains(forbiddenNames(), name) && name != path.Base(p.dir) {
			found = append(found, fmt.Sprintf("%s: a package named %q says nothing about what is in it", p.at(file.Name.Pos()), name))
		}
	}
	return found
}

// inits finds init functions.
func (p *pkg) inits() []string {
	var found []string
	for _, file := range p.files {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, fmt.Sprintf("%s: no init functions: wire it in cmd/lkup", p.at(f.Pos())))
			}
		}
	}
	return found
}
