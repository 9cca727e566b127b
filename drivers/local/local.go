// Package local is what drivers have in common whose machines are processes of
// this computer, with a directory each: the lock that tells whether one runs,
// the console that one at a time is attached to, ports of the host, and files.
package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/lkup/lkup/drivers"
)

// Deletable reports why a machine that is as status says cannot be deleted.
func Deletable(m drivers.Machine, status drivers.Status) error {
	switch status.State {
	case drivers.Running, drivers.Paused:
		return fmt.Errorf("%s still runs (process %d); stop it first", m.Address, status.PID)
	case drivers.Unknown:
		return errors.New(status.Detail)
	case drivers.Absent, drivers.Stopped:
	}
	return nil
}

// Remove removes files that may be gone already.
func Remove(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Exists reports whether there is a file of that name.
func Exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Full says what to do about a disk that is full; near is a file or directory
// on it. Other errors stay as they are.
func Full(err error, near string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("no space is left for %s; free some, or choose another disk with LKUP_STATE_DIR: %w", near, err)
	}
	return err
}
