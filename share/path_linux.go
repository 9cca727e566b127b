package share

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dir opens a directory of the tree, one name at a time, through no link. The
// caller closes it.
func (t *tree) dir(name string) (int, error) {
	at, err := unix.Openat(t.root, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil || name == "" {
		return at, err
	}
	for step := range strings.SplitSeq(name, "/") {
		next, err := unix.Openat(at, step, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		closeFD(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// in does something with a name in the directory that it is in. The tree's own
// directory is "." in itself.
func (t *tree) in(name string, do func(dir int, base string) error) error {
	above, base := path.Split(name)
	if base == "" {
		base = "."
	}
	dir, err := t.dir(strings.TrimSuffix(above, "/"))
	if err != nil {
		return err
	}
	defer closeFD(dir)
	return do(dir, base)
}

// closeFD closes a descriptor through which nothing was written.
func closeFD(fd int) { _ = unix.Close(fd) }

func (t *tree) stat(name string) (unix.Stat_t, error) {
	var s unix.Stat_t
	err := t.in(name, func(dir int, base string) error {
		return unix.Fstatat(dir, base, &s, unix.AT_SYMLINK_NOFOLLOW)
	})
	return s, err
}

// fixed says why a guest may not change, make or remove what a path names.
func (t *tree) fixed(name string) error {
	if t.readOnly || t.protected.Covers(name) || t.protected.Leads(name) {
		return unix.EROFS
	}
	return nil
}

// sameAsProtected reports whether a file of several names has one that is
// protected. The host alone can have made those: the guest's links are refused.
func (t *tree) sameAsProtected(s unix.Stat_t) bool {
	if s.Nlink < 2 || s.Mode&unix.S_IFMT != unix.S_IFREG || len(t.protected.rules) == 0 {
		return false
	}
	root, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(t.root))
	if err != nil {
		return true
	}
	defer root.Close()
	for _, r := range t.protected.rules {
		for _, top := range existing(root.FS(), "", r.names) {
			if err := fs.WalkDir(root.FS(), top, differs(root, s)); err != nil {
				return true // it is the same, or cannot be told
			}
		}
	}
	return false
}

// differs ends a walk with an error at a file that is the one of s.
func differs(root *os.Root, s unix.Stat_t) fs.WalkDirFunc {
	return func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		if own, ok := info.Sys().(*syscall.Stat_t); ok && own.Ino == s.Ino && own.Dev == s.Dev {
			return fs.ErrExist
		}
		return nil
	}
}
