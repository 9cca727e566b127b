// Package npm brings a program of npm into a guest that has neither npm nor a
// way to its registry: it finds what a package needs, downloads and checks it
// on the host, and writes it as the guest is to have it.
//
// It promises that nothing is handed on whose SHA-512 is not the one that the
// registry names, or, once that is known, whose digest is not the one that was
// locked; that what it writes has no links but its own, and no path that leads
// out; and that it runs nothing.
//
// What it reads of a registry is described at
// https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
package npm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Tree is a package and all that it needs, each at its place.
type Tree struct {
	Root   spec.Package
	Placed []Placed // sorted by Path, so that Root comes first
}

// Placed is a package at a place.
type Placed struct {
	Path    string // below the root package: "node_modules/a/node_modules/b"; empty for the root
	Package spec.Package
	Digest  sources.Digest // of its archive
}

// Pins are the digests of a tree, by refs that also say what is where: that of
// the root, and for all others the root's, a space, the path, a space, and
// their own.
func (t Tree) Pins() map[string]sources.Digest {
	pins := map[string]sources.Digest{}
	for _, p := range t.Placed {
		ref := t.Root.String()
		if p.Path != "" {
			ref = strings.Join([]string{ref, p.Path, p.Package.String()}, " ")
		}
		pins[ref] = p.Digest
	}
	return pins
}

// Pinned is the tree of a package as pins have it; false if they do not.
func Pinned(root spec.Package, pins map[string]sources.Digest) (t Tree, ok bool, err error) {
	t = Tree{Root: root}
	if _, ok := pins[root.String()]; !ok {
		return t, false, nil
	}
	for _, ref := range slices.Sorted(maps.Keys(pins)) {
		words := strings.Split(ref, " ")
		if words[0] != root.String() {
			continue
		}
		p := Placed{Package: root, Digest: pins[ref]}
		if len(words) > 1 {
			problem := "it is not \"ROOT PATH PACKAGE\""
			if len(words) == 3 {
				p.Path = words[1]
				p.Package, problem = spec.ParsePackage(words[2])
			}
			if problem != "" || !isPlace(p.Path) {
				return t, false, fmt.Errorf("package %q is no place of a package: %s", ref, problem)
			}
		}
		t.Placed = append(t.Placed, p)
	}
	t.sort()
	return t, true, nil
}

func (t Tree) sort() {
	slices.SortFunc(t.Placed, func(a, b Placed) int { return cmp.Compare(a.Path, b.Path) })
}

// isPlace reports whether a path is made of node_modules and names.
func isPlace(at string) bool {
	rest, ok := strings.CutPrefix("/"+at, "/node_modules/")
	if !ok {
		return false
	}
	for name := range strings.SplitSeq(rest, "/node_modules/") {
		if !spec.ValidPackageName(name) {
			return false
		}
	}
	return path.Clean(at) == at
}

// ID tells one tree from another.
func (t Tree) ID() string {
	sum := sha256.New()
	pins := t.Pins()
	for _, ref := range slices.Sorted(maps.Keys(pins)) {
		fmt.Fprintln(sum, ref, pins[ref])
	}
	return hex.EncodeToString(sum.Sum(nil))
}
