package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// WriteFile replaces a file in one step: whoever reads sees the old content or
// the new, also after a crash. On an error the old content stays.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	if err := renameio.WriteFile(path, content, mode, renameio.IgnoreUmask(), renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return plain(path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems cannot sync a directory, and say so with EINVAL.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return plain(dir, err)
	}
	return nil
}

// plain turns the causes that a person can mend into one clear line.
func plain(path string, err error) error {
	dir := filepath.Dir(path)
	var number syscall.Errno
	if errors.As(err, &number) {
		err = number // the path that failed is a temporary one, and no help
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("write %s: the disk is full; make room there and run the command again: %w", path, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("write %s: %s cannot be written; mend its permissions, or choose another directory with LKUP_STATE_DIR: %w", path, dir, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}

// makeDir makes a private directory.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return plain(filepath.Join(dir, "."), err)
	}
	return nil
}
