//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// wake makes this guest another one than all that were restored from the same
// memory: with the time of now, and random numbers of its own.
func wake(w guest.Wake) error {
	now := unix.NsecToTimeval(w.Time)
	failures := []error{reseed(w.Entropy)}
	if w.Time > 0 {
		failures = append(failures, unix.Settimeofday(&now))
	}
	if w.Hostname != "" {
		failures = append(failures, unix.Sethostname([]byte(w.Hostname)), writeFile("/etc/hostname", w.Hostname+"\n"))
	}
	return errors.Join(failures...)
}

// Of the kernel's linux/random.h.
const (
	addEntropy = 0x40085203 // RNDADDENTROPY: _IOW('R', 0x03, int[2])
	reseedCRNG = 0x5207     // RNDRESEEDCRNG: _IO('R', 0x07)
)

// reseed has the kernel mix in what the host gave, and use it from now on.
func reseed(entropy []byte) error {
	if len(entropy) == 0 {
		return nil
	}
	f, err := os.OpenFile("/dev/urandom", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	pool := make([]byte, 8, 8+len(entropy)) // struct rand_pool_info
	binary.NativeEndian.PutUint32(pool, uint32(8*len(entropy)))
	binary.NativeEndian.PutUint32(pool[4:], uint32(len(entropy)))
	pool = append(pool, entropy...)
	for _, call := range []struct{ number, argument uintptr }{
		{addEntropy, uintptr(unsafe.Pointer(&pool[0]))}, {reseedCRNG, 0},
	} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), call.number, call.argument); errno != 0 {
			return fmt.Errorf("reseed the random numbers: %w", errno)
		}
	}
	return nil
}
