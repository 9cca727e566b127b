package share

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// links finds protected paths, and directories that lead to some, that are
// links to something in the same directory that is not protected: the guest
// could change it there.
func (p Protected) links(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for _, r := range p.rules {
		for n := range r.names {
			for _, name := range existing(os.DirFS(dir), "", r.names[:n+1]) {
				if err := p.link(dir, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p Protected) link(dir, name string) error {
	at := filepath.Join(dir, filepath.FromSlash(name))
	info, err := os.Lstat(at)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return nil // it is gone, or no link
	}
	real, err := filepath.EvalSymlinks(at)
	if err != nil {
		real, err = os.Readlink(at) // what it points to may come
		if err != nil {
			return nil
		}
		if !filepath.IsAbs(real) {
			real = filepath.Join(filepath.Dir(at), real)
		}
	}
	inside, err := filepath.Rel(dir, real)
	if err != nil || !filepath.IsLocal(inside) || p.Covers(filepath.ToSlash(inside)) {
		return nil
	}
	return fmt.Errorf("%s is a link to %s, which the guest can change; put a copy there, or protect that, too", at, inside)
}

// existing are the paths that match patterns of names, links included. What
// cannot be listed has none.
func existing(root fs.FS, above string, patterns []string) []string {
	entries, err := fs.ReadDir(root, path.Join(".", above))
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		switch name := path.Join(above, e.Name()); {
		case !matches(patterns[:1], []string{fold(e.Name())}):
		case len(patterns) == 1:
			all = append(all, name)
		case e.IsDir():
			all = append(all, existing(root, name, patterns[1:])...)
		}
	}
	return all
}
