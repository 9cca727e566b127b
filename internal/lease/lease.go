// Package lease ties a stack to the life of a process: whoever holds a lease
// keeps an OS lock, which ends with the process however that ends. The next
// lkup finds leases that nobody holds, and removes what they stand for.
//
// It knows files and locks alone, and nothing of machines.
package lease

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/internal/layout"
)

// Env names the variable by which lkup learns that it works on a leased stack:
// that of the lease with this name, in place of the project's own.
const Env = "LKUP_LEASE"

// Lease is a project's directory that lasts as long as its holder: a link to a
// project, or a directory of its own.
type Lease struct {
	Name string
	Dir  string // absolute; the identity of what is leased
	lock *flock.Flock
}

// At is a lease by its name, not held.
func At(l layout.Layout, name string) *Lease {
	dir := filepath.Join(l.Runs(), name)
	return &Lease{Name: name, Dir: dir, lock: flock.New(dir+".lock", flock.SetPermissions(0o600))}
}

// Take makes a lease of a project, and holds it. Without a project it is of an
// empty directory, made with it.
func Take(l layout.Layout, project string) (*Lease, error) {
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.Runs(), 0o700); err != nil {
		return nil, err
	}
	lease := At(l, "run-"+hex.EncodeToString(random))
	// Locked first, so that nobody ever sees it without its holder.
	if got, err := lease.lock.TryLock(); err != nil || !got {
		return nil, errors.Join(err, errors.New("lock the lease"))
	}
	var err error
	if project == "" {
		err = os.Mkdir(lease.Dir, 0o700)
	} else {
		err = os.Symlink(project, lease.Dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the lease: %w", err), lease.End())
	}
	return lease, nil
}

// Abandoned finds the leases whose holders are gone, and holds them. Where
// there are none it costs the reading of one directory.
func Abandoned(l layout.Layout) ([]*Lease, error) {
	entries, err := os.ReadDir(l.Runs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Lease
	for _, e := range entries {
		if !e.IsDir() && e.Type() != fs.ModeSymlink {
			continue
		}
		lease := At(l, e.Name())
		if free, err := lease.lock.TryLock(); err != nil || !free {
			continue // its holder lives
		}
		if _, err := os.Lstat(lease.Dir); err != nil { // it was ended meanwhile
			_ = lease.End() // of nothing but the lock's file
			continue
		}
		all = append(all, lease)
	}
	return all, nil
}

// Release lets go of a lease that is not ended: the next lkup removes what it
// stands for.
func (l *Lease) Release() error { return l.lock.Unlock() }

// End removes the lease, once what it stands for is gone.
func (l *Lease) End() error {
	err := os.RemoveAll(l.Dir) // of a link, the link
	if gone := os.Remove(l.Dir + ".lock"); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return errors.Join(err, l.lock.Unlock())
}

// Of is where a project is known under the lease that a process works on. ok is
// false if that is a lease of something else; the project must be a real path.
func Of(l layout.Layout, name, project string) (dir string, ok bool, err error) {
	lease := At(l, filepath.Base(name))
	target, err := filepath.EvalSymlinks(lease.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("the lease %s of a stack is over; type: unset %s", name, Env)
	}
	if err != nil {
		return "", false, err
	}
	return lease.Dir, target == project, nil
}

// Stacks finds the stacks that live under the lease: one at most, unless its
// stack files were given another name meanwhile.
func (l *Lease) Stacks(all layout.Layout) ([]layout.Stack, error) {
	folders, err := os.ReadDir(all.Stacks())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	var found []layout.Stack
	for _, folder := range folders {
		if paths := all.StackOf(folder.Name()); paths.Of(l.Dir) {
			found = append(found, paths)
		}
	}
	return found, err
}
