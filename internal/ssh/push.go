package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Push copies a file or a directory of the host into the guest, with its modes,
// by the rules of Pull. Links are copied as they are and never followed; only
// from itself may be one.
func (c *Copier) Push(from, to string) (Copied, error) {
	info, err := os.Stat(from)
	if err != nil {
		return c.copied(), err
	}
	into, err := c.client.Stat(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c.copied(), fmt.Errorf("%s: %w", to, plainly(err))
	}
	isDir := err == nil && into.IsDir()
	if isDir && !(info.IsDir() && contents(filepath.ToSlash(from))) || !info.IsDir() && strings.HasSuffix(to, "/") {
		name, err := ownName(from)
		if err != nil {
			return c.copied(), err
		}
		to = path.Join(to, name)
	}
	if info.IsDir() {
		err = c.pushDir(from, to, info)
		return c.copied(), err
	}
	root, err := os.OpenRoot(filepath.Dir(from))
	if err != nil {
		return c.copied(), err
	}
	defer root.Close()
	if !info.Mode().IsRegular() {
		return c.copied(), fmt.Errorf("%s is %s, and no file or directory", from, kind(info.Mode()))
	}
	// from may be a link to somewhere else, and its target is meant.
	in, err := os.Open(from)
	if err != nil {
		return c.copied(), err
	}
	defer in.Close()
	err = c.send(in, to, info.Mode())
	return c.copied(), err
}

// ownName is what a path is called where it lies.
func ownName(from string) (string, error) {
	abs, err := filepath.Abs(from)
	if err != nil {
		return "", err
	}
	if name := filepath.Base(abs); plainName(name) {
		return name, nil
	}
	return "", fmt.Errorf("%s has no name; say what it shall be called in the guest", from)
}

func (c *Copier) pushDir(from, to string, info fs.FileInfo) error {
	root, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer root.Close()
	return c.pushTree(root, ".", to, info.Mode())
}

// pushTree copies a directory of the tree to one of the guest.
func (c *Copier) pushTree(root *os.Root, from, to string, mode fs.FileMode) error {
	if err := c.makeDir(to); err != nil {
		return fmt.Errorf("%s: %w", to, plainly(err))
	}
	entries, err := readDir(root, from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := path.Join(from, e.Name()), path.Join(to, e.Name())
		if err := c.count(source, strings.Count(source, "/")); err != nil {
			return err
		}
		if err := c.pushEntry(root, source, target); err != nil {
			return err
		}
	}
	return c.client.Chmod(to, mode.Perm())
}

func readDir(root *os.Root, dir string) ([]fs.DirEntry, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// makeDir makes a directory that may be there already.
func (c *Copier) makeDir(to string) error {
	if there, err := c.client.Stat(to); err == nil {
		if !there.IsDir() {
			return errors.New("it is no directory in the guest")
		}
		return nil
	}
	if err := c.client.Mkdir(to); err != nil {
		return err
	}
	return c.client.Chmod(to, 0o700)
}

func (c *Copier) pushEntry(root *os.Root, from, to string) error {
	info, err := root.Lstat(from)
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case 0:
		in, err := root.Open(from)
		if err != nil {
			return err
		}
		defer in.Close()
		return c.send(in, to, info.Mode())
	case fs.ModeSymlink:
		return c.pushLink(root, from, to)
	case fs.ModeDir:
		return c.pushTree(root, from, to, info.Mode())
	}
	c.leaveOut(filepath.Join(root.Name(), from), "is "+kind(info.Mode()))
	return nil
}

func (c *Copier) pushLink(root *os.Root, from, to string) error {
	target, err := root.Readlink(from)
	if err != nil {
		return err
	}
	if err := c.client.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", to, plainly(err))
	}
	if err := c.client.Symlink(target, to); err != nil {
		return fmt.Errorf("%s: %w", to, plainly(err))
	}
	c.add(1, 0)
	return nil
}

// send copies a file beside its place, and then puts it there.
func (c *Copier) send(in *os.File, to string, mode fs.FileMode) (err error) {
	part := path.Join(path.Dir(to), ".lkup-"+path.Base(to)+".part")
	out, err := c.client.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("%s: %w", to, plainly(err))
	}
	defer func() {
		if err != nil {
			_ = c.client.Remove(part) // what is half there is of no use
		}
	}()
	_, err = out.ReadFrom(&countedReader{in, c})
	if err = errors.Join(err, out.Close()); err == nil {
		err = c.client.Chmod(part, mode.Perm())
	}
	if err == nil {
		err = c.client.PosixRename(part, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", to, plainly(err))
	}
	c.add(1, 0)
	return nil
}

// countedReader counts what is read. The file tells its size, so that the
// transfer knows how much it may send at once.
type countedReader struct {
	*os.File
	c *Copier
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	r.c.add(0, n)
	return n, err
}
