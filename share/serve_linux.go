package share

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/hugelgupf/p9/p9"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// File systems that know a file by more names than one - in either case, short
// ones, with dots behind - or that a server elsewhere looks after: what is
// protected by its name there is protected by nothing.
const (
	exfat = 0x2011bab0
	ntfs3 = 0x7366746e
	ntfs  = 0x5346544e
	cifs  = 0xff534d42
	smb2  = 0xfe534d42
)

// caseFolded is FS_CASEFOLD_FL: names in the directory are equal in any case.
const caseFolded = 0x40000000

// Enforceable says why what patterns name in a directory cannot be protected
// from a guest.
func Enforceable(dir string, patterns []string) error {
	t, err := open(Served{Dir: dir, Protect: patterns})
	if err != nil {
		return err
	}
	return unix.Close(t.root)
}

func enforceable(fd int, dir string) error {
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	switch uint32(s.Type) {
	case unix.MSDOS_SUPER_MAGIC, exfat, ntfs, ntfs3, cifs, smb2, unix.V9FS_MAGIC:
		return fmt.Errorf("%s lies on a file system that knows a file by several names", dir)
	}
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil && flags&caseFolded != 0 {
		return fmt.Errorf("%s lies on a file system that knows a file by several names", dir)
	}
	return nil
}

// Serve serves each directory over its connection until the other end of every
// one is closed. The connections do not block: a message may come in parts. It
// sets this process's umask.
func Serve(conns []*os.File, all []Served) error {
	if len(conns) != len(all) {
		return fmt.Errorf("%d directories and %d connections", len(all), len(conns))
	}
	unix.Umask(0) // the guest has its own
	var group errgroup.Group
	for n, s := range all {
		t, err := open(s)
		if err != nil {
			closeAll(conns)
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return t.serve(conns[n]) })
	}
	return group.Wait()
}

// serve answers until the other end is closed. The 9P server is then left where
// it is, for its own end is a race between its goroutines: whoever serves ends
// its process.
func (t *tree) serve(conn *os.File) error {
	w := newWire(conn)
	failed := make(chan error, 1)
	go func() { failed <- p9.NewServer(t).Handle(w, w) }()
	select {
	case <-w.closed:
		return conn.Close()
	case err := <-failed: // the server has found what is no 9P, though the wire has not
		return errors.Join(err, conn.Close())
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // what was written is the other end's affair
	}
}

// tree is a directory that is served.
type tree struct {
	root      int // a descriptor
	readOnly  bool
	protected Protected
	// changing is held by who changes names or attributes, and for reading by
	// who looks a path up: no name turns into a link between two steps.
	changing sync.RWMutex
}

func open(s Served) (*tree, error) {
	root, err := unix.Open(s.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: s.Dir, Err: err}
	}
	t := &tree{root: root, readOnly: s.ReadOnly, protected: NewProtected(s.Protect)}
	if len(s.Protect) == 0 {
		return t, nil
	}
	if err := errors.Join(enforceable(root, s.Dir), t.protected.links(s.Dir)); err != nil {
		return nil, errors.Join(err, unix.Close(root))
	}
	return t, nil
}

// Attach gives the directory itself.
func (t *tree) Attach() (p9.File, error) { return &node{tree: t}, nil }
