package share

import (
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"github.com/hugelgupf/p9/fsimpl/templatefs"
	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"
	"golang.org/x/sys/unix"
)

// node is what a guest has walked to: a path, and a file once it is open. The
// 9P server calls Renamed while it calls nothing else.
type node struct {
	templatefs.NoopFile
	tree    *tree
	path    string // relative to the tree; "" is the tree itself
	file    *os.File
	entries []p9.Dirent // of a directory that is read
}

// told is an error as the guest hears it: by number.
func told(err error) error {
	var number unix.Errno
	if errors.As(err, &number) {
		return linux.Errno(number)
	}
	return err
}

func (n *node) child(name string) string { return strings.TrimPrefix(path.Join(n.path, name), "/") }

func qid(s unix.Stat_t) p9.QID {
	return p9.QID{
		Type:    p9.FileMode(s.Mode).QIDType(),
		Version: uint32(s.Mtim.Sec) ^ uint32(s.Mtim.Nsec) ^ uint32(s.Size)<<8,
		Path:    s.Ino ^ s.Dev<<48,
	}
}

// Walk takes any number of steps, none of them through a link.
func (n *node) Walk(names []string) ([]p9.QID, p9.File, error) {
	n.tree.changing.RLock()
	defer n.tree.changing.RUnlock()
	at := &node{tree: n.tree, path: n.path}
	var qids []p9.QID
	for _, name := range names {
		at.path = at.child(name)
		s, err := n.tree.stat(at.path)
		if err != nil {
			return nil, nil, told(err)
		}
		qids = append(qids, qid(s))
	}
	return qids, at, nil
}

// stat looks at the open file, or at what the path names.
func (n *node) stat() (unix.Stat_t, error) {
	if n.file == nil {
		n.tree.changing.RLock()
		defer n.tree.changing.RUnlock()
		return n.tree.stat(n.path)
	}
	var s unix.Stat_t
	err := unix.Fstat(int(n.file.Fd()), &s)
	return s, err
}

// GetAttr gives what stat gives.
func (n *node) GetAttr(req p9.AttrMask) (p9.QID, p9.AttrMask, p9.Attr, error) {
	s, err := n.stat()
	if err != nil {
		return p9.QID{}, p9.AttrMask{}, p9.Attr{}, told(err)
	}
	return qid(s), req, p9.Attr{
		Mode: p9.FileMode(s.Mode), UID: p9.UID(s.Uid), GID: p9.GID(s.Gid),
		NLink: p9.NLink(s.Nlink), RDev: p9.Dev(s.Rdev),
		Size: uint64(s.Size), BlockSize: uint64(s.Blksize), Blocks: uint64(s.Blocks),
		ATimeSeconds: uint64(s.Atim.Sec), ATimeNanoSeconds: uint64(s.Atim.Nsec),
		MTimeSeconds: uint64(s.Mtim.Sec), MTimeNanoSeconds: uint64(s.Mtim.Nsec),
		CTimeSeconds: uint64(s.Ctim.Sec), CTimeNanoSeconds: uint64(s.Ctim.Nsec),
	}, nil
}

// kept are the flags of an open that mean something here.
const kept = unix.O_ACCMODE | unix.O_DSYNC

// Open opens a file or a directory, and nothing else: what is behind the
// host's pipes and devices is no guest's.
func (n *node) Open(flags p9.OpenFlags) (p9.QID, uint32, error) {
	n.tree.changing.RLock()
	defer n.tree.changing.RUnlock()
	s, err := n.tree.stat(n.path)
	if err != nil {
		return p9.QID{}, 0, told(err)
	}
	how := int(flags) & kept
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if how&unix.O_ACCMODE == unix.O_RDONLY && int(flags)&unix.O_TRUNC == 0 {
			break
		}
		if err := n.tree.fixed(n.path); err != nil {
			return p9.QID{}, 0, told(err)
		}
	case unix.S_IFDIR:
		how = unix.O_RDONLY | unix.O_DIRECTORY
	default:
		return p9.QID{}, 0, linux.EACCES
	}
	if n.file, err = n.tree.openFile(n.path, how, int(flags)&unix.O_TRUNC != 0, 0); err != nil {
		return p9.QID{}, 0, told(err)
	}
	return qid(s), 0, nil
}

// openFile opens for writing only what is not protected by another name. It
// empties a file after that.
func (t *tree) openFile(name string, how int, empty bool, mode uint32) (*os.File, error) {
	fd := -1
	err := t.in(name, func(dir int, base string) (err error) {
		fd, err = unix.Openat(dir, base, how|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if how&unix.O_ACCMODE == unix.O_RDONLY && !empty {
		return f, nil
	}
	var s unix.Stat_t
	err = unix.Fstat(fd, &s)
	if err == nil && t.sameAsProtected(s) {
		err = unix.EROFS
	}
	if err == nil && empty {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadAt reads from the open file.
func (n *node) ReadAt(p []byte, offset int64) (int, error) {
	if n.file == nil {
		return 0, linux.EBADF
	}
	count, err := n.file.ReadAt(p, offset)
	if errors.Is(err, io.EOF) {
		return count, io.EOF
	}
	return count, told(err)
}

// WriteAt writes to the open file.
func (n *node) WriteAt(p []byte, offset int64) (int, error) {
	if n.file == nil {
		return 0, linux.EBADF
	}
	count, err := n.file.WriteAt(p, offset)
	return count, told(err)
}

// FSync makes what was written durable.
func (n *node) FSync() error {
	if n.file == nil {
		return linux.EBADF
	}
	return told(n.file.Sync())
}

// Close closes the file, if one is open.
func (n *node) Close() error {
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}

// Lock lets the guest have its locks: they are between its own programs.
func (n *node) Lock(int, p9.LockType, p9.LockFlags, uint64, uint64, string) (p9.LockStatus, error) {
	return p9.LockStatusOK, nil
}

// StatFS describes the file system of the tree.
func (n *node) StatFS() (p9.FSStat, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(n.tree.root, &s); err != nil {
		return p9.FSStat{}, told(err)
	}
	return p9.FSStat{
		Type: uint32(s.Type), BlockSize: uint32(s.Bsize), Blocks: s.Blocks, BlocksFree: s.Bfree, BlocksAvailable: s.Bavail,
		Files: s.Files, FilesFree: s.Ffree, NameLength: uint32(s.Namelen),
	}, nil
}

// Readlink reads a link, which it does not follow.
func (n *node) Readlink() (string, error) {
	n.tree.changing.RLock()
	defer n.tree.changing.RUnlock()
	target := make([]byte, unix.PathMax)
	err := n.tree.in(n.path, func(dir int, base string) error {
		count, err := unix.Readlinkat(dir, base, target)
		if err == nil {
			target = target[:count]
		}
		return err
	})
	if err != nil {
		return "", told(err)
	}
	return string(target), nil
}

// Readdir reads the directory as it was when its reading began.
func (n *node) Readdir(offset uint64, _ uint32) (p9.Dirents, error) {
	if n.file == nil {
		return nil, linux.EBADF
	}
	if offset == 0 {
		if err := n.list(); err != nil {
			return nil, told(err)
		}
	}
	if offset >= uint64(len(n.entries)) {
		return nil, io.EOF
	}
	return n.entries[offset:], nil
}

func (n *node) list() error {
	if _, err := n.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	names, err := n.file.Readdirnames(-1)
	if err != nil {
		return err
	}
	n.entries = n.entries[:0]
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Fstatat(int(n.file.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			continue // it is gone by now
		}
		kind := p9.QIDType(s.Mode & unix.S_IFMT >> 12) // DT_DIR and the like, as the guest hands it on
		n.entries = append(n.entries, p9.Dirent{QID: qid(s), Offset: uint64(len(n.entries) + 1), Type: kind, Name: name})
	}
	return nil
}
