package watcher

import (
	"maps"
	"path"
	"slices"
)

// Touched lists where those who watch a project by events find what differs
// between two snapshots: files and directories that are new or edited, and the
// directory that something went from. Sorted, so that a directory comes before
// what is in it.
func Touched(before, after Snapshot) []string {
	all := map[string]bool{}
	for _, c := range Compare(before, after) {
		if c.Kind == Removed {
			all[after.above(c.Path)] = true
		} else {
			all[c.Path] = true
		}
	}
	for dir := range after.Dirs {
		if _, was := before.Dirs[dir]; !was {
			all[dir] = true
		}
	}
	for dir := range before.Dirs {
		if _, still := after.Dirs[dir]; !still {
			all[after.above(dir)] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// above is the nearest directory above a path that is there.
func (shot Snapshot) above(name string) string {
	dir := path.Dir(name)
	for dir != "." {
		if _, there := shot.Dirs[dir]; there {
			break
		}
		dir = path.Dir(dir)
	}
	return dir
}
