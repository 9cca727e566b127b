package watcher

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"github.com/lkup/lkup/spec"
)

// Rule is a watch block, ready to be asked about files.
type Rule struct {
	spec.Watch
	patterns []string // of Paths; a directory stands for all below it
	ignored  gitignore.Matcher
}

// NewRule prepares a watch block.
func NewRule(w spec.Watch) Rule {
	r := Rule{Watch: w, ignored: gitignore.NewMatcher(patterns(w.Ignore, nil))}
	for _, pattern := range w.Paths {
		r.patterns = append(r.patterns, pattern, path.Join(pattern, "**"))
	}
	return r
}

// Covers reports whether a file is one of the block's, and its path below the
// directory where the pattern's wildcards begin. It is asked of every file of a
// project, most of which no pattern matches.
func (r Rule) Covers(name string) (below string, covered bool) {
	for _, p := range r.patterns {
		if match, err := doublestar.Match(p, name); err != nil || !match {
			continue
		}
		base, _ := doublestar.SplitPattern(p)
		if name == base {
			continue
		}
		if r.ignores(name) {
			return "", false
		}
		return strings.TrimPrefix(name, base+"/"), true
	}
	return "", false
}

func (r Rule) ignores(name string) bool {
	parts := split(name)
	for n := range parts {
		if r.ignored.Match(parts[:n+1], n+1 < len(parts)) {
			return true
		}
	}
	return false
}

// Followed is what changes are judged by.
type Followed struct {
	// Files are those that the stack was evaluated from, and those that images
	// are made from.
	Files map[string]bool
	// Anything says that the last look at the stack failed, so that any change
	// may be the one that mends it.
	Anything bool
	VMs      map[spec.Address][]Rule
}

// Todo is what changes lead to, apart from what is synced: that follows from
// what a guest has, see [Pending].
type Todo struct {
	Plan    bool
	Restart []spec.Address // sorted
	Rebuild []spec.Address // sorted; these are not in Restart
	Exec    []Exec         // by address, then as the blocks are sorted
}

// Exec is a command to run in a guest.
type Exec struct {
	VM      spec.Address
	Command []string
}

// Decide says what changes lead to.
func Decide(changes []Change, f Followed) Todo {
	var todo Todo
	for _, c := range changes {
		todo.Plan = todo.Plan || f.Anything || f.Files[c.Path] || f.stackFile(c.Path)
	}
	for _, a := range slices.Sorted(maps.Keys(f.VMs)) {
		for _, r := range f.VMs[a] {
			if slices.ContainsFunc(changes, func(c Change) bool { _, covered := r.Covers(c.Path); return covered }) {
				todo.add(a, r.Watch)
			}
		}
	}
	todo.Restart = slices.DeleteFunc(slices.Compact(todo.Restart), func(a spec.Address) bool { return slices.Contains(todo.Rebuild, a) })
	todo.Rebuild = slices.Compact(todo.Rebuild)
	return todo
}

func (t *Todo) add(a spec.Address, w spec.Watch) {
	switch w.Action {
	case spec.WatchSync:
	case spec.WatchRestart:
		t.Restart = append(t.Restart, a)
	case spec.WatchRebuild:
		t.Rebuild = append(t.Rebuild, a)
	case spec.WatchExec:
		t.Exec = append(t.Exec, Exec{a, w.Command})
	default:
		panic("watcher: no such action: " + w.Action)
	}
}

// stackFile reports whether a file is one that the next evaluation would read
// because of its name: at the root, or in the directory of a module.
func (f Followed) stackFile(name string) bool {
	if strings.HasSuffix(strings.TrimSuffix(name, ".json"), ".lkupvars") {
		return true
	}
	if !spec.IsStackFile(path.Base(name)) {
		return false
	}
	dir := path.Dir(name)
	if dir == "." {
		return true
	}
	for known := range f.Files {
		if path.Dir(known) == dir && spec.IsStackFile(path.Base(known)) {
			return true
		}
	}
	return false
}

// Copy is a file to put into a guest.
type Copy struct {
	From string // in the project
	To   string // in the guest
}

// Pending is what a guest lacks: the files to copy, and those to delete, both
// sorted by the guest's path. has is what it was given.
func Pending(rules []Rule, now Snapshot, has map[string]Entry) (copies []Copy, gone []string) {
	wanted := map[string]string{}
	for name := range now.Files {
		for _, r := range rules {
			if r.Action != spec.WatchSync {
				continue
			}
			if below, covered := r.Covers(name); covered {
				to := path.Join(r.Target, below)
				wanted[to] = max(wanted[to], name) // of two for one place, always the same
			}
		}
	}
	for _, to := range slices.Sorted(maps.Keys(wanted)) {
		if had, there := has[to]; !there || !had.same(now.Files[wanted[to]]) {
			copies = append(copies, Copy{From: wanted[to], To: to})
		}
	}
	for _, to := range slices.Sorted(maps.Keys(has)) {
		if _, still := wanted[to]; !still {
			gone = append(gone, to)
		}
	}
	return copies, gone
}
