package hyperkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// The lock of a machine is a flock on a file in its directory. The keeper and
// Hyperkit inherit the open file, so the lock lives as long as either.

// flock takes a lock without waiting; the error is EWOULDBLOCK if somebody
// else has it.
func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// lockHeld reports whether a process holds the lock. It takes it shared for a
// moment, so that two who look do not take each other for a machine.
func lockHeld(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err = flock(f, syscall.LOCK_SH); errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// takeLock takes the lock for processes to inherit. Whoever only looks is
// waited for.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Second); ; <-tick.C {
		err := flock(f, syscall.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(limit) {
			return nil, errors.Join(fmt.Errorf("lock %s, which another process holds: %w", path, err), f.Close())
		}
	}
}
