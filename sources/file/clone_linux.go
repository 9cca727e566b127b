package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// clone makes to a copy of from that shares its blocks, and fails where the
// file system has no such thing, or the two lie on different ones.
func clone(from *os.File, to string) error {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = unix.IoctlFileClone(int(file.Fd()), int(from.Fd()))
	return errors.Join(err, file.Close())
}
