package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/sources/lock"
	"github.com/lkup/lkup/sources/store"
)

// readLockFile reads the lock file of a project. One that is not there is
// empty; mistakes in it are an [invalidStack].
func readLockFile(dir string) (lock.Pins, error) {
	content, err := os.ReadFile(filepath.Join(dir, lock.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return lock.Pins{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the lock file: %w", err)
	}
	pins, file, diags := lock.Parse(content, lock.FileName)
	if diags.HasErrors() {
		return nil, &invalidStack{diags: diags, files: map[string]*hcl.File{lock.FileName: file}}
	}
	return pins, nil
}

// writeLockFile adds what this run resolved first. With replace, and if this
// run was to upgrade, it also replaces what the file said before.
func (s *imageSources) writeLockFile(ctx context.Context, replace bool) error {
	return s.lock(ctx, replace && s.book.Upgrade())
}

// lock writes what is new, and with replace what is another digest than the
// file had.
func (s *imageSources) lock(ctx context.Context, replace bool) error {
	news := s.book.Fresh(replace)
	if len(news) == 0 {
		return nil
	}
	dir, err := filepath.EvalSymlinks(s.dir) // one file, whatever lease it is seen under
	if err != nil {
		return err
	}
	path := filepath.Join(dir, lock.FileName)
	return s.store.Locked(ctx, store.Key("lock file", path), func(string) error {
		now, err := readLockFile(s.dir)
		if err != nil {
			return err
		}
		merged, err := now.Merge(news, replace)
		if err != nil || maps.Equal(now, merged) {
			return err
		}
		if err := state.WriteFile(path, merged.Format(), 0o644); err != nil {
			return fmt.Errorf("write the lock file: %w", err)
		}
		return nil
	})
}
