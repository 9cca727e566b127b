package npm

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"deps.dev/util/semver"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// mostPackages and mostDepth bound what a package can need.
const (
	mostPackages = 5000
	mostDepth    = 16
)

// resolving is a tree that grows.
type resolving struct {
	*Registry
	arch   string // as npm calls it
	report sources.Report
	tree   Tree
	at     map[string]manifest // by path
	queue  []string
}

// Resolve finds what a package needs in a guest of an architecture (GOARCH),
// and downloads it. Dependencies get the newest version that fits, at the root
// if the name is free there, else below those who need them. Optional ones that
// are for other computers are left out.
func (r *Registry) Resolve(ctx context.Context, root spec.Package, arch string, report sources.Report) (Tree, error) {
	m, err := r.exactly(ctx, root)
	if err != nil {
		return Tree{}, err
	}
	s := &resolving{Registry: r, arch: cpu(arch), report: report, tree: Tree{Root: root}, at: map[string]manifest{}}
	if !s.fits(m) {
		return Tree{}, fmt.Errorf("%s is not for Linux on %s", root, arch)
	}
	if err := s.place(ctx, "", m); err != nil {
		return Tree{}, err
	}
	for len(s.queue) > 0 {
		at := s.queue[0]
		s.queue = s.queue[1:]
		if err := s.needs(ctx, at); err != nil {
			return Tree{}, err
		}
	}
	s.tree.sort()
	return s.tree, nil
}

// cpu is npm's name of an architecture.
func cpu(arch string) string {
	if arch == spec.ArchAMD64 {
		return "x64"
	}
	return arch
}

// place puts a version at a path.
func (s *resolving) place(ctx context.Context, at string, m manifest) error {
	if len(s.tree.Placed) >= mostPackages || strings.Count(at, "node_modules/") > mostDepth {
		return fmt.Errorf("%s needs too much: more than %d packages, or %d within each other", s.tree.Root, mostPackages, mostDepth)
	}
	d, err := s.archive(ctx, m, "", s.report)
	if err != nil {
		return err
	}
	s.tree.Placed = append(s.tree.Placed, Placed{Path: at, Package: spec.Package{Name: m.Name, Version: m.Version}, Digest: d})
	s.at[at] = m
	s.queue = append(s.queue, at)
	return nil
}

// needs places what the package at a path needs. Packages are taken in turn
// from the root downwards, so that nothing is ever put between one and what it
// has found already.
func (s *resolving) needs(ctx context.Context, at string) error {
	m := s.at[at]
	required := maps.Clone(m.Dependencies)
	if required == nil {
		required = map[string]string{}
	}
	for name, wanted := range m.Peers {
		if !m.PeersMeta[name].Optional {
			required[name] = wanted
		}
	}
	maps.Copy(required, m.Optional)
	for _, name := range slices.Sorted(maps.Keys(required)) {
		if m.Bundled.has(name) || m.BundledToo.has(name) {
			continue
		}
		_, optional := m.Optional[name]
		if err := s.need(ctx, at, name, required[name], optional); err != nil {
			return fmt.Errorf("%s@%s needs %s %s: %w", m.Name, m.Version, name, required[name], err)
		}
	}
	return nil
}

func (b bundled) has(name string) bool { return b.all || slices.Contains(b.names, name) }

// need places one dependency, unless what is found from there will do.
func (s *resolving) need(ctx context.Context, from, alias, wanted string, optional bool) error {
	name := alias
	if other, ok := strings.CutPrefix(wanted, "npm:"); ok {
		name, wanted = other, ""
		if i := strings.LastIndex(other, "@"); i > 0 {
			name, wanted = other[:i], other[i+1:]
		}
	}
	if !spec.ValidPackageName(alias) || !spec.ValidPackageName(name) {
		return fmt.Errorf("%q is no name of a package", name)
	}
	if found, ok := s.found(from, alias); ok && found.Name == name {
		d, err := s.document(ctx, name)
		if err == nil && satisfies(d, found.Version, wanted) {
			return nil
		}
	}
	m, err := s.newest(ctx, name, wanted)
	switch {
	case err == nil && s.fits(m):
		return s.place(ctx, s.free(from, alias), m)
	case optional && ctx.Err() == nil:
		return nil
	case err == nil:
		return fmt.Errorf("%s@%s is for other computers", m.Name, m.Version)
	}
	return err
}

// found is the package that a name means to the one at a path.
func (s *resolving) found(from, alias string) (manifest, bool) {
	for at := from; ; at = above(at) {
		if m, ok := s.at[path.Join(at, "node_modules", alias)]; ok {
			return m, true
		}
		if at == "" {
			return manifest{}, false
		}
	}
}

// above is the path of the package that another one lies in.
func above(at string) string {
	at = at[:strings.LastIndex("/"+at, "/node_modules/")]
	return strings.TrimSuffix(at, "/")
}

// free is where a package may be put so that nobody else finds it in place of
// another.
func (s *resolving) free(from, alias string) string {
	at := path.Join("node_modules", alias)
	if _, taken := s.at[at]; taken {
		return path.Join(from, at)
	}
	return at
}

// newest is the version that npm would take: what a tag says, the latest if
// that fits, else the greatest that does.
func (s *resolving) newest(ctx context.Context, name, wanted string) (manifest, error) {
	d, err := s.document(ctx, name)
	if err != nil {
		return manifest{}, err
	}
	if tagged, ok := d.Tags[wanted]; ok {
		return s.exactly(ctx, spec.Package{Name: name, Version: tagged})
	}
	if strings.Contains(wanted, ":") || strings.Contains(wanted, "/") {
		return manifest{}, fmt.Errorf("%q is not of the registry, and lkup installs nothing else", wanted)
	}
	best := ""
	if latest := d.Tags["latest"]; satisfies(d, latest, wanted) {
		best = latest
	}
	for _, v := range slices.Sorted(maps.Keys(d.Versions)) {
		if best != d.Tags["latest"] || best == "" {
			if satisfies(d, v, wanted) && (best == "" || semver.NPM.Compare(v, best) > 0) {
				best = v
			}
		}
	}
	if best == "" {
		return manifest{}, fmt.Errorf("no version fits")
	}
	return s.exactly(ctx, spec.Package{Name: name, Version: best})
}

// satisfies reports whether a version is what a range, or a tag, asks for.
func satisfies(d document, version, wanted string) bool {
	if tagged, ok := d.Tags[wanted]; ok {
		return tagged == version
	}
	if _, there := d.Versions[version]; !there {
		return false
	}
	c, err := semver.NPM.ParseConstraint(wanted)
	return err == nil && c.Match(version)
}

// fits reports whether a version is for the guest: Linux, with the GNU C
// library where that matters.
func (s *resolving) fits(m manifest) bool {
	return m.OS.take("linux") && m.CPU.take(s.arch) && m.Libc.take("glibc")
}

// take reports whether a list has a name, or does not refuse it: "!win32".
func (w words) take(name string) bool {
	if slices.Contains(w, "!"+name) {
		return false
	}
	only := slices.DeleteFunc(slices.Clone(w), func(s string) bool { return strings.HasPrefix(s, "!") })
	return len(only) == 0 || slices.Contains(only, name) || slices.Contains(only, "any")
}
