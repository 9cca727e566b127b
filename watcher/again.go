package watcher

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// Again looks at some directories only, and takes the rest from an earlier
// snapshot. It costs by what changed and not by what there is. What it is not
// told of it does not see: [Scanner.Scan] does.
func (s Scanner) Again(before Snapshot, dirty, also []string) (Snapshot, error) {
	shot := Snapshot{Files: maps.Clone(before.Files), Dirs: maps.Clone(before.Dirs)}
	root, err := fs.Stat(s.Project, ".")
	if err != nil {
		return shot, err
	}
	shot.Dirs["."] = s.ID(root)
	dirty = slices.Compact(slices.Sorted(slices.Values(dirty))) // those above come first
	for _, dir := range dirty {
		if _, known := shot.Dirs[dir]; known {
			s.again(shot, dir, before)
		}
	}
	for _, name := range also {
		delete(shot.Files, name)
		s.one(shot, name)
	}
	return shot, nil
}

// again renews what is directly in a directory, and all below those of its
// directories that are new. Another .gitignore makes everything below new.
func (s Scanner) again(shot Snapshot, dir string, before Snapshot) {
	above, ignored := s.above(dir)
	info, err := fs.Lstat(s.Project, dir)
	if ignored || err != nil || !info.IsDir() || s.ID(info) != before.Dirs[dir] || s.edited(path.Join(dir, ".gitignore"), before) {
		shot.drop(dir)
		if !ignored && err == nil && info.IsDir() {
			shot.Dirs[dir] = s.ID(info)
			s.dir(shot, dir, above)
		}
		return
	}
	for name := range shot.Files {
		if path.Dir(name) == dir {
			delete(shot.Files, name)
		}
	}
	there := map[string]bool{}
	s.list(shot, dir, above, func(name string, info fs.FileInfo, ignored []gitignore.Pattern) {
		there[name] = true
		if id, known := before.Dirs[name]; known && id == s.ID(info) {
			return
		}
		shot.drop(name)
		shot.Dirs[name] = s.ID(info)
		s.dir(shot, name, ignored)
	})
	for _, name := range slices.Collect(maps.Keys(shot.Dirs)) {
		if path.Dir(name) == dir && name != "." && !there[name] {
			shot.drop(name)
		}
	}
}

// above are the patterns that hold in a directory because of those above it,
// and whether they, or lkup, leave it out.
func (s Scanner) above(dir string) (patterns []gitignore.Pattern, ignored bool) {
	parts := split(dir)
	for n, part := range parts {
		patterns = s.gitignore(strings.Join(parts[:n], "/"), patterns)
		if part == ".git" || s.Skip[path.Join(parts[:n+1]...)] || gitignore.NewMatcher(patterns).Match(parts[:n+1], true) {
			return nil, true
		}
	}
	return patterns, false
}

// edited reports whether a file differs from what it was.
func (s Scanner) edited(name string, before Snapshot) bool {
	now := Snapshot{Files: map[string]Entry{}}
	if info, err := fs.Lstat(s.Project, name); err == nil && !info.IsDir() {
		s.add(now, name, info)
	}
	old, was := before.Files[name]
	entry, is := now.Files[name]
	return was != is || is && !old.same(entry)
}

// drop forgets a directory and all below.
func (shot Snapshot) drop(dir string) {
	below := func(name string) bool { return dir == "." || strings.HasPrefix(name, dir+"/") }
	maps.DeleteFunc(shot.Files, func(name string, _ Entry) bool { return below(name) })
	maps.DeleteFunc(shot.Dirs, func(name string, _ uint64) bool { return name == dir || below(name) })
}
