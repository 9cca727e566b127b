// Package store keeps what lkup fetches and builds, by digest, below one
// directory that all stacks of a user share.
//
// It promises: what is there is whole and never changes; processes that want
// the same thing at once make it once, the others wait; a maker that dies
// leaves nothing that could be taken for a result. It never fetches anything
// by itself, and deletes only through a store that is open alone.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/sources"
)

// Store is a directory. Any number of them, in any number of processes, may
// be open on the same directory, unless one is open alone.
type Store struct {
	dir string
	// use is held shared by everyone who has the store open, so that nothing
	// is deleted between the moment that somebody sees it and the moment that
	// a stack's state says so. It dies with its holder.
	use   *flock.Flock
	alone bool
}

// Open makes the store's folders below dir where they are missing. It waits
// while another process deletes from it.
func Open(dir string) (*Store, error) {
	s, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	if err := s.use.RLock(); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	return s, nil
}

// ErrInUse says that the store cannot be had alone.
var ErrInUse = errors.New("another lkup is using the image store")

// OpenAlone opens the store so that things can be deleted from it: nobody
// else has it open meanwhile. It waits for the others until ctx ends, and is
// then [ErrInUse].
func OpenAlone(ctx context.Context, dir string) (*Store, error) {
	s, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	s.alone = true
	if locked, err := s.use.TryLock(); locked || err != nil {
		return s, err
	}
	if _, err := s.use.TryLockContext(ctx, 25*time.Millisecond); err != nil {
		return nil, errors.Join(ErrInUse, s.use.Close())
	}
	return s, nil
}

func prepare(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	for _, folder := range []string{"blobs/sha256", "built", "pins", "notes", "sums", "locks", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	return &Store{dir: dir, use: flock.New(filepath.Join(dir, "use"))}, nil
}

// Close lets others have the store alone. The paths that it gave out may be
// gone after that, unless a stack's state refers to them.
func (s *Store) Close() error { return s.use.Close() }

// Downloads is the folder in which unfinished downloads lie, to be gone on
// with. Whatever is in it may be removed by who has the store alone.
const Downloads = "downloads"

// Dir is the absolute path of a folder of the store for a source's private
// use, such as apt's lists. It may not exist yet.
func (s *Store) Dir(name string) string { return filepath.Join(s.dir, name) }

// Key derives a digest from the inputs that decide a result. It tells
// ("a", "bc") from ("ab", "c").
func Key(inputs ...string) sources.Digest {
	hash := sha256.New()
	var length [8]byte
	for _, input := range inputs {
		binary.BigEndian.PutUint64(length[:], uint64(len(input)))
		hash.Write(length[:])
		hash.Write([]byte(input))
	}
	return sources.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil)))
}

// Locked runs do while no other process or goroutine holds key, with an empty
// folder that is removed afterwards. The lock is the OS's and dies with its
// holder. A cancelled ctx ends the wait.
func (s *Store) Locked(ctx context.Context, key sources.Digest, do func(scratch string) error) error {
	if !key.Valid() {
		return fmt.Errorf("lock image store: %q is not a digest", key)
	}
	lock := flock.New(filepath.Join(s.dir, "locks", key.Hex()))
	if _, err := lock.TryLockContext(ctx, 25*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another build of %s: %w", key.Short(), err)
	}
	defer func() { _ = lock.Unlock() }()
	// A holder that was killed may have left its scratch folder.
	scratch := filepath.Join(s.dir, "tmp", key.Hex())
	if err := os.RemoveAll(scratch); err != nil {
		return fmt.Errorf("clean image store: %w", err)
	}
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return fmt.Errorf("use image store: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return do(scratch)
}

// Built is the folder that holds the result for key, if it was built.
func (s *Store) Built(key sources.Digest) (dir string, ok bool) {
	if !key.Valid() {
		return "", false
	}
	dir = s.builtDir(key)
	return dir, touch(dir) == nil
}

// touch notes that something is used. It fails where there is nothing.
func touch(path string) error {
	if unix.Utimes(path, nil) == nil {
		return nil
	}
	_, err := os.Stat(path) // it may be there and not ours
	return err
}

func (s *Store) builtDir(key sources.Digest) string {
	return filepath.Join(s.dir, "built", key.Hex())
}

// Build returns the folder that holds the result for key. If it is not there,
// build makes its files in an empty folder, which then takes its place at
// once and for good. build runs once however many ask.
func (s *Store) Build(ctx context.Context, key sources.Digest, build func(dir string) error) (string, error) {
	if dir, ok := s.Built(key); ok {
		return dir, nil
	}
	err := s.Locked(ctx, key, func(scratch string) error {
		if _, ok := s.Built(key); ok {
			return nil
		}
		dir := filepath.Join(scratch, "result")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("use image store: %w", err)
		}
		if err := build(dir); err != nil {
			return err
		}
		if err := s.sum(key, dir); err != nil {
			return fmt.Errorf("store result %s: %w", key.Short(), err)
		}
		if err := seal(dir); err != nil {
			return fmt.Errorf("store result %s: %w", key.Short(), err)
		}
		return move(dir, s.builtDir(key))
	})
	if err != nil {
		return "", err
	}
	return s.builtDir(key), nil
}

// seal makes every file below dir read-only and durable.
func seal(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() {
			return sealFile(path)
		}
		return syncDir(path)
	})
}

func sealFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := file.Chmod(0o444); err != nil {
		return err
	}
	return file.Sync()
}

// move renames a sealed file or folder to its place and makes that durable.
func move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("store result: %w", err)
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return file.Sync()
}
