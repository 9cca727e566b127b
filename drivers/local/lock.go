package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// lookLimit is how long those are waited for who only look at a lock.
const lookLimit = time.Second

// flock takes a lock without waiting; the error is EWOULDBLOCK if somebody
// else has it.
func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Locked reports whether a process holds a machine's lock, a flock on a file in
// its directory. It takes the lock shared for a moment, so that two who look do
// not take each other for a machine.
func Locked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = flock(f, syscall.LOCK_SH)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// Lock takes a machine's lock for processes to inherit: it lives exactly as long
// as they do, whoever started them and however that one ended. Whoever only
// looks is waited for.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(lookLimit); ; <-tick.C {
		err := flock(f, syscall.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(limit) {
			return nil, errors.Join(fmt.Errorf("lock %s, which another process holds: %w", path, err), f.Close())
		}
	}
}
