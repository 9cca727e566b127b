package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// mutations finds package-level variables that are more than read-only tables:
// those assigned, incremented, deleted from or pointed to after their
// declaration, and those whose type exists to be changed (sync, sync/atomic).
//
// It resolves names within the package only, so it cannot see a method that
// changes its receiver. It is a net for mistakes, not for malice.
func (p *pkg) mutations() []string {
	names := p.resolve()
	m := mutations{pkg: p, isGlobal: func(id *ast.Ident) bool {
		v, ok := names.Uses[id].(*types.Var)
		return ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() && v.Pkg().Path() == p.dir
	}}
	for _, file := range p.files {
		m.declared(file)
		ast.Inspect(file, m.visit)
	}
	slices.Sort(m.found)
	return slices.Compact(m.found)
}

// resolve says what each identifier refers to. Types of other packages stay
// unknown, and so do type errors that follow from it.
func (p *pkg) resolve() *types.Info {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: blind{}, Error: func(error) {}}
	_, _ = config.Check(p.dir, p.fset, p.files, info) // errors are expected: see above
	return info
}

// blind imports every package as an empty one.
type blind struct{}

func (blind) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, importBase(path))
	p.MarkComplete()
	return p, nil
}

// importBase guesses a package's name from its path, past a version suffix.
func importBase(importPath string) string {
	base, rest := importPath, ""
	for i := len(importPath) - 1; i >= 0; i-- {
		if importPath[i] == '/' {
			base, rest = importPath[i+1:], importPath[:i]
			break
		}
	}
	if len(base) > 1 && base[0] == 'v' && base[1] >= '0' && base[1] <= '9' && rest != "" {
		return importBase(rest)
	}
	return base
}

type mutations struct {
	pkg      *pkg
	isGlobal func(*ast.Ident) bool
	found    []string
}

// declared finds variables whose type says that they change.
func (m *mutations) declared(file *ast.File) {
	for _, decl := range file.Decls {
		vars, ok := decl.(*ast.GenDecl)
		if !ok || vars.Tok != token.VAR {
			continue
		}
		for _, s := range vars.Specs {
			spec := s.(*ast.ValueSpec)
			if name := changing(file, spec.Type); name != "" {
				m.add(spec.Pos(), spec.Names[0].Name, "is a "+name)
			}
			for _, value := range spec.Values {
				if address, ok := value.(*ast.UnaryExpr); ok {
					value = address.X
				}
				if literal, ok := value.(*ast.CompositeLit); ok && changing(file, literal.Type) != "" {
					m.add(spec.Pos(), spec.Names[0].Name, "is a "+changing(file, literal.Type))
				}
			}
		}
	}
}

// changing names a type of sync or sync/atomic; empty for others.
func changing(file *ast.File, typ ast.Expr) string {
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok { // atomic.Pointer[T]
		typ = index.X
	}
	selector, ok := typ.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := selector.X.(*ast.Ident)
	if !ok || (x.Name != importedAs(file, "sync") && x.Name != importedAs(file, "sync/atomic")) {
		return ""
	}
	return x.Name + "." + selector.Sel.Name
}

// visit finds statements that change a package-level variable.
func (m *mutations) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, left := range n.Lhs {
				m.changed(left, "is assigned")
			}
		}
	case *ast.IncDecStmt:
		m.changed(n.X, "is assigned")
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			m.changed(n.Key, "is assigned")
			m.changed(n.Value, "is assigned")
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			m.changed(n.X, "has its address taken")
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") && len(n.Args) > 0 {
			m.changed(n.Args[0], "is changed by "+f.Name)
		}
	}
	return true
}

// changed records a change of the variable at the root of an expression:
// x in x.field[i].
func (m *mutations) changed(expr ast.Expr, how string) {
	for {
		switch e := expr.(type) {
		case *ast.Ident:
			if m.isGlobal(e) {
				m.add(e.Pos(), e.Name, how)
			}
			return
		case *ast.SelectorExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.StarExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		default:
			return
		}
	}
}

func (m *mutations) add(pos token.Pos, name, how string) {
	m.found = append(m.found, fmt.Sprintf("%s: package-level variable %s %s: pass it instead", m.pkg.at(pos), name, how))
}
