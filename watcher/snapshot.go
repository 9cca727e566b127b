// Package watcher says what changed in a project, and what that leads to.
//
// It compares two snapshots of the files: events of the operating system only
// say that it is time to look, so that none of them can be missed or
// misunderstood. It reads through the fs.FS it is given, changes nothing and
// knows no clock.
package watcher

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// Entry is what is compared of a file.
type Entry struct {
	Mode     fs.FileMode
	Size     int64
	Modified time.Time
	ID       uint64 // of the file under its name, such as an inode number
}

// Snapshot is what a project holds at one time, by path.
type Snapshot struct {
	Files map[string]Entry  // regular files and symbolic links
	Dirs  map[string]uint64 // their IDs; "." included
}

// Scanner takes snapshots of a project.
type Scanner struct {
	Project fs.FS
	// Skip are directories of the project that are left out.
	Skip map[string]bool
	// ID tells a file from another one that took its name.
	ID func(fs.FileInfo) uint64
}

// Scan lists the project without what git ignores, but with the files of also.
// What vanishes meanwhile, or cannot be read, is left out.
func (s Scanner) Scan(also []string) (Snapshot, error) {
	shot := Snapshot{Files: map[string]Entry{}, Dirs: map[string]uint64{}}
	root, err := fs.Stat(s.Project, ".")
	if err != nil {
		return shot, err
	}
	shot.Dirs["."] = s.ID(root)
	s.dir(shot, ".", nil)
	for _, name := range also {
		s.one(shot, name)
	}
	return shot, nil
}

// dir adds what is below a directory. ignored are the patterns of those above.
func (s Scanner) dir(shot Snapshot, dir string, ignored []gitignore.Pattern) {
	s.list(shot, dir, ignored, func(name string, info fs.FileInfo, ignored []gitignore.Pattern) {
		shot.Dirs[name] = s.ID(info)
		s.dir(shot, name, ignored)
	})
}

// list adds the files of a directory, and calls into with each directory in it
// and the patterns that hold there.
func (s Scanner) list(shot Snapshot, dir string, ignored []gitignore.Pattern, into func(string, fs.FileInfo, []gitignore.Pattern)) {
	entries, err := fs.ReadDir(s.Project, dir)
	if err != nil {
		return
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ".gitignore" }) {
		ignored = s.gitignore(dir, ignored)
	}
	domain := split(dir)
	matcher := gitignore.NewMatcher(ignored)
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if entry.Name() == ".git" || s.Skip[name] || matcher.Match(append(slices.Clip(domain), entry.Name()), entry.IsDir()) {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue
		}
		if info.IsDir() {
			into(name, info, ignored)
		} else {
			s.add(shot, name, info)
		}
	}
}

// gitignore adds the patterns of a directory's own .gitignore.
func (s Scanner) gitignore(dir string, above []gitignore.Pattern) []gitignore.Pattern {
	text, err := fs.ReadFile(s.Project, path.Join(dir, ".gitignore"))
	if err != nil {
		return above
	}
	return append(slices.Clip(above), patterns(strings.Split(string(text), "\n"), split(dir))...)
}

// one adds a file that is of interest even if git ignores it, and the
// directories in which it would appear.
func (s Scanner) one(shot Snapshot, name string) {
	if !fs.ValidPath(name) {
		return
	}
	if info, err := fs.Lstat(s.Project, name); err == nil && !info.IsDir() {
		s.add(shot, name, info)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := fs.Lstat(s.Project, dir); err == nil && info.IsDir() {
			shot.Dirs[dir] = s.ID(info)
		}
	}
}

func (s Scanner) add(shot Snapshot, name string, info fs.FileInfo) {
	if info.Mode().IsRegular() || info.Mode().Type() == fs.ModeSymlink {
		shot.Files[name] = Entry{Mode: info.Mode(), Size: info.Size(), Modified: info.ModTime(), ID: s.ID(info)}
	}
}

// patterns reads lines of a .gitignore file.
func patterns(lines, domain []string) []gitignore.Pattern {
	var all []gitignore.Pattern
	for _, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			all = append(all, gitignore.ParsePattern(line, domain))
		}
	}
	return all
}

func split(name string) []string {
	if name == "." || name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// Change is one file that differs between two snapshots.
type Change struct {
	Path string
	Kind Kind
}

// Kind says how a file differs.
type Kind string

// The kinds of change.
const (
	Added   Kind = "added"
	Edited  Kind = "edited" // its content, its mode, or only its time
	Removed Kind = "removed"
)

// Compare lists the files that differ, sorted by path.
func Compare(before, after Snapshot) []Change {
	var all []Change
	for name, now := range after.Files {
		old, there := before.Files[name]
		switch {
		case !there:
			all = append(all, Change{name, Added})
		case !old.same(now):
			all = append(all, Change{name, Edited})
		}
	}
	for name := range before.Files {
		if _, there := after.Files[name]; !there {
			all = append(all, Change{name, Removed})
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return all
}

func (e Entry) same(o Entry) bool {
	return e.Mode == o.Mode && e.Size == o.Size && e.ID == o.ID && e.Modified.Equal(o.Modified)
}
