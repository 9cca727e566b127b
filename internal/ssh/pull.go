package ssh

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
)

// Pull copies a file or a directory of the guest to the host, with its modes.
// An existing directory takes it in, under its own name, unless from ends in
// "/."; else to is its new name.
//
// Nothing is written outside of the tree that is copied to, whatever the guest
// says, and no link is made that leads out of it. A file is there in full or
// not at all.
func (c *Copier) Pull(from, to string) (Copied, error) {
	info, err := c.client.Stat(from)
	if err != nil {
		return c.copied(), fmt.Errorf("%s: %w", from, plainly(err))
	}
	if info.IsDir() {
		err = c.pullDir(from, to, info)
	} else {
		err = c.pullOne(from, to, info)
	}
	return c.copied(), err
}

// pullOne copies a single file.
func (c *Copier) pullOne(from, to string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is %s, and no file or directory", from, kind(info.Mode()))
	}
	if there, err := os.Stat(to); strings.HasSuffix(to, "/") || err == nil && there.IsDir() {
		name := path.Base(from)
		if !plainName(name) {
			return fmt.Errorf("%s has no name; say what it shall be called here", from)
		}
		to = filepath.Join(to, name)
	}
	root, err := os.OpenRoot(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer root.Close()
	return c.pullFile(root, from, filepath.Base(to), info.Mode())
}

// pullDir copies a tree.
func (c *Copier) pullDir(from, to string, info fs.FileInfo) error {
	there, err := os.Stat(to)
	switch {
	case err == nil && !there.IsDir():
		return fmt.Errorf("%s is a directory, and %s is not", from, to)
	case err == nil && !contents(from):
		name := path.Base(path.Clean(from))
		if !plainName(name) {
			return fmt.Errorf("%s has no name; to copy what is in it, write %s/.", from, strings.TrimSuffix(from, "/"))
		}
		to = filepath.Join(to, name)
	}
	if err := os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := c.pullTree(root, from, "."); err != nil {
		return err
	}
	return root.Chmod(".", info.Mode().Perm())
}

// pullTree copies what is in a directory of the guest into one of the tree.
func (c *Copier) pullTree(root *os.Root, from, to string) error {
	entries, err := c.list(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !plainName(e.Name()) {
			return fmt.Errorf("%s: the guest says that it holds %q, which is no name of a file", from, e.Name())
		}
		source, target := path.Join(from, e.Name()), path.Join(to, e.Name())
		if err := c.count(source, strings.Count(target, "/")); err != nil {
			return err
		}
		if err := c.pullEntry(root, source, target, e.Mode()); err != nil {
			return err
		}
	}
	return nil
}

func (c *Copier) pullEntry(root *os.Root, from, to string, mode fs.FileMode) error {
	switch mode.Type() {
	case 0:
		return c.pullFile(root, from, to, mode)
	case fs.ModeSymlink:
		return c.pullLink(root, from, to)
	case fs.ModeDir:
	default:
		c.leaveOut(from, "is "+kind(mode))
		return nil
	}
	if err := root.Mkdir(to, 0o700); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		there, err := root.Lstat(to)
		if err != nil {
			return err
		}
		if !there.IsDir() {
			return fmt.Errorf("%s is a directory, and %s is not", from, filepath.Join(root.Name(), to))
		}
		if err := root.Chmod(to, there.Mode().Perm()|0o700); err != nil {
			return err
		}
	}
	if err := c.pullTree(root, from, to); err != nil {
		return err
	}
	return root.Chmod(to, mode.Perm())
}

// list reads a directory of the guest.
func (c *Copier) list(dir string) (entries []fs.FileInfo, err error) {
	err = c.budget.within(listingLimit, func() error {
		entries, err = c.client.ReadDir(dir)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, plainly(err))
	}
	return entries, nil
}

func (c *Copier) pullLink(root *os.Root, from, to string) error {
	target, err := c.client.ReadLink(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, plainly(err))
	}
	if leadsOut(to, target) {
		c.leaveOut(from, "is a link that leads out of what is copied: "+target)
		return nil
	}
	if err := removeFile(root, to); err != nil {
		return err
	}
	if err := root.Symlink(target, to); err != nil {
		return err
	}
	c.add(1, 0)
	return nil
}

// removeFile makes room for a link.
func removeFile(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// pullFile copies a file beside its place, and then puts it there.
func (c *Copier) pullFile(root *os.Root, from, to string, mode fs.FileMode) (err error) {
	in, err := c.client.Open(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, plainly(err))
	}
	defer in.Close()
	part := path.Join(path.Dir(to), ".lkup-"+path.Base(to)+".part")
	if err := removeFile(root, part); err != nil {
		return err
	}
	out, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(part) // what is half there is of no use
		}
	}()
	err = c.receive(in, out)
	if err = errors.Join(err, out.Chmod(mode.Perm()), out.Close()); err != nil {
		return fmt.Errorf("%s: %w", from, plainly(err))
	}
	if err := root.Rename(part, to); err != nil {
		return err
	}
	c.add(1, 0)
	return nil
}

// receive copies what a file has now. One that grows meanwhile is cut off where
// it ended; one that claims to be small, and goes on, is an error.
func (c *Copier) receive(in *sftp.File, out io.Writer) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	limit := max(info.Size(), growthLimit)
	_, err = in.WriteTo(counted{&bounded{Writer: out, left: limit}, c})
	if !errors.Is(err, errFull) {
		return err
	}
	if info.Size() < growthLimit {
		return fmt.Errorf("it says that it has %d bytes, and goes on after %d; to read it nevertheless, use lkup exec", info.Size(), limit)
	}
	return nil
}

var errFull = errors.New("that is all that is wanted")

// bounded takes so many bytes, and then fails.
type bounded struct {
	io.Writer
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) <= b.left {
		n, err := b.Writer.Write(p)
		b.left -= int64(n)
		return n, err
	}
	n, err := b.Writer.Write(p[:b.left])
	b.left -= int64(n)
	if err == nil {
		err = errFull
	}
	return n, err
}

// kind is what a mode means for people.
func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// notThere is fs.ErrNotExist, in other words.
type notThere struct{}

func (notThere) Error() string        { return "there is no such file or directory" }
func (notThere) Is(target error) bool { return target == fs.ErrNotExist }

// plainly leaves out what only a programmer wants to know of an error.
func plainly(err error) error {
	var status *sftp.StatusError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return notThere{}
	case errors.Is(err, fs.ErrPermission):
		return errors.New("permission denied")
	case errors.As(err, &status):
		return errors.New(strings.TrimSuffix(strings.TrimPrefix(status.Error(), "sftp: "), " (SSH_FX_FAILURE)"))
	case errors.Is(err, sftp.ErrSSHFxConnectionLost):
		return errors.New("the guest hung up")
	}
	return err
}
