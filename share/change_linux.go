package share

import (
	"errors"
	"strconv"

	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"
	"golang.org/x/sys/unix"
)

// permissions are a mode's bits that a guest may set. A program that runs as
// its owner would run as the host's user, or root, on the host.
func permissions(mode p9.FileMode) uint32 { return uint32(mode) & 0o1777 }

// change does what gives a path another meaning, or none, unless it is fixed.
func (n *node) change(name string, do func(dir int, base string) error) error {
	n.tree.changing.Lock()
	defer n.tree.changing.Unlock()
	target := n.child(name)
	if err := n.tree.fixed(target); err != nil {
		return told(err)
	}
	return told(n.tree.in(target, do))
}

// Create makes a file, or opens the one that came there meanwhile.
func (n *node) Create(name string, flags p9.OpenFlags, mode p9.FileMode, _ p9.UID, _ p9.GID) (p9.File, p9.QID, uint32, error) {
	n.tree.changing.Lock()
	defer n.tree.changing.Unlock()
	made := &node{tree: n.tree, path: n.child(name)}
	if err := n.tree.fixed(made.path); err != nil {
		return nil, p9.QID{}, 0, told(err)
	}
	if s, err := n.tree.stat(made.path); err == nil && s.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, p9.QID{}, 0, linux.EEXIST
	}
	how := unix.O_CREAT | int(flags)&(kept|unix.O_EXCL)
	var err error
	if made.file, err = n.tree.openFile(made.path, how, int(flags)&unix.O_TRUNC != 0, permissions(mode)); err != nil {
		return nil, p9.QID{}, 0, told(err)
	}
	s, err := made.stat()
	if err != nil {
		return nil, p9.QID{}, 0, errors.Join(told(err), made.file.Close())
	}
	return made, qid(s), 0, nil
}

// Mkdir makes a directory. One that leads to a protected path may be made:
// what would be in it cannot.
func (n *node) Mkdir(name string, mode p9.FileMode, _ p9.UID, _ p9.GID) (p9.QID, error) {
	n.tree.changing.Lock()
	defer n.tree.changing.Unlock()
	target := n.child(name)
	if n.tree.readOnly || n.tree.protected.Covers(target) {
		return p9.QID{}, linux.EROFS
	}
	err := n.tree.in(target, func(dir int, base string) error { return unix.Mkdirat(dir, base, permissions(mode)) })
	return n.made(target, err)
}

// made is the identity of what was just made.
func (n *node) made(target string, err error) (p9.QID, error) {
	if err != nil {
		return p9.QID{}, told(err)
	}
	s, err := n.tree.stat(target)
	return qid(s), told(err)
}

// Symlink makes a link, wherever it points: nobody follows it here.
func (n *node) Symlink(points, name string, _ p9.UID, _ p9.GID) (p9.QID, error) {
	var made p9.QID
	err := n.change(name, func(dir int, base string) (err error) {
		if err := unix.Symlinkat(points, dir, base); err != nil {
			return err
		}
		made, err = n.made(n.child(name), nil)
		return err
	})
	return made, err
}

// Mknod makes pipes and sockets, which the guest's own kernel serves. Devices
// would be the host's.
func (n *node) Mknod(name string, mode p9.FileMode, _, _ uint32, _ p9.UID, _ p9.GID) (p9.QID, error) {
	kind := uint32(mode) & unix.S_IFMT
	if kind != unix.S_IFIFO && kind != unix.S_IFSOCK && kind != unix.S_IFREG {
		return p9.QID{}, linux.EPERM
	}
	var made p9.QID
	err := n.change(name, func(dir int, base string) (err error) {
		if err := unix.Mknodat(dir, base, kind|permissions(mode), 0); err != nil {
			return err
		}
		made, err = n.made(n.child(name), nil)
		return err
	})
	return made, err
}

// Link gives a file another name. A protected one gets none: it could be
// changed by that.
func (n *node) Link(target p9.File, name string) error {
	from := target.(*node).path
	return n.change(name, func(dir int, base string) error {
		if err := n.tree.fixed(from); err != nil {
			return err
		}
		if s, err := n.tree.stat(from); err != nil || n.tree.sameAsProtected(s) {
			return errors.Join(err, unix.EROFS)
		}
		return n.tree.in(from, func(fromDir int, fromBase string) error {
			return unix.Linkat(fromDir, fromBase, dir, base, 0)
		})
	})
}

// RenameAt moves what is not protected, leads to nothing that is, and comes to
// no place that is or does.
func (n *node) RenameAt(oldName string, newDir p9.File, newName string) error {
	to := newDir.(*node)
	return n.change(oldName, func(oldDir int, oldBase string) error {
		target := to.child(newName)
		if err := n.tree.fixed(target); err != nil {
			return err
		}
		return n.tree.in(target, func(dir int, base string) error {
			return unix.Renameat(oldDir, oldBase, dir, base)
		})
	})
}

// Renamed keeps the path right.
func (n *node) Renamed(newDir p9.File, name string) { n.path = newDir.(*node).child(name) }

// UnlinkAt removes a name. An empty directory may go even if it led to
// something protected: there is nothing in it.
func (n *node) UnlinkAt(name string, flags uint32) error {
	if flags&unix.AT_REMOVEDIR == 0 {
		return n.change(name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
	}
	n.tree.changing.Lock()
	defer n.tree.changing.Unlock()
	target := n.child(name)
	if n.tree.readOnly || n.tree.protected.Covers(target) {
		return linux.EROFS
	}
	return told(n.tree.in(target, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) }))
}

// SetAttr changes mode, size and times. Whom a file belongs to is the host's
// affair: a guest that asks is not told so, as by QEMU's own shares.
func (n *node) SetAttr(valid p9.SetAttrMask, attr p9.SetAttr) error {
	n.tree.changing.Lock()
	defer n.tree.changing.Unlock()
	s, err := n.tree.stat(n.path)
	if err != nil {
		return told(err)
	}
	if onlyRepeats(valid, attr, s) {
		return nil
	}
	kind := s.Mode & unix.S_IFMT
	if n.tree.readOnly || n.tree.protected.Covers(n.path) || kind != unix.S_IFDIR && n.tree.protected.Leads(n.path) || n.tree.sameAsProtected(s) {
		return linux.EROFS
	}
	return told(n.tree.in(n.path, func(dir int, base string) error {
		if valid.Permissions && kind != unix.S_IFLNK {
			if err := chmod(dir, base, permissions(attr.Permissions)); err != nil {
				return err
			}
		}
		if valid.Size {
			if err := n.resize(kind, attr.Size); err != nil {
				return err
			}
		}
		if !valid.ATime && !valid.MTime {
			return nil
		}
		times := []unix.Timespec{
			moment(valid.ATime, valid.ATimeNotSystemTime, attr.ATimeSeconds, attr.ATimeNanoSeconds),
			moment(valid.MTime, valid.MTimeNotSystemTime, attr.MTimeSeconds, attr.MTimeNanoSeconds),
		}
		return unix.UtimesNanoAt(dir, base, times, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// onlyRepeats reports whether all that is asked for is the time that a file has.
// So lkup tells a guest's watchers of a change of the host's: see
// [guest.Changed]. Nothing is done for it, so that an edit that comes meanwhile
// keeps its time. Linux may leave out the fraction of a second.
func onlyRepeats(valid p9.SetAttrMask, attr p9.SetAttr, s unix.Stat_t) bool {
	only := p9.SetAttrMask{MTime: true, MTimeNotSystemTime: true, CTime: valid.CTime}
	return valid == only && attr.MTimeSeconds == uint64(s.Mtim.Sec) && (attr.MTimeNanoSeconds == 0 || attr.MTimeNanoSeconds == uint64(s.Mtim.Nsec))
}

// chmod follows no link. Linux had no call for that for long.
func chmod(dir int, base string, mode uint32) error {
	fd, err := unix.Openat(dir, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

// resize uses the file that is open for writing, if one is: its mode may have
// been changed since.
func (n *node) resize(kind uint32, size uint64) error {
	if kind != unix.S_IFREG {
		return unix.EINVAL
	}
	if n.file != nil && n.file.Truncate(int64(size)) == nil {
		return nil
	}
	f, err := n.tree.openFile(n.path, unix.O_WRONLY, false, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(size)), f.Close())
}

func moment(set, given bool, seconds, nanoseconds uint64) unix.Timespec {
	switch {
	case !set:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case !given:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(seconds), Nsec: int64(nanoseconds)}
}
