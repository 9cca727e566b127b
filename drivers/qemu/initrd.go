package qemu

import (
	"errors"
	"io"
	"os"
)

// join writes files one after another, each from a multiple of four bytes, as
// the kernel wants archives in an initrd. The copying is left to the system,
// which on some file systems needs none.
func join(path string, parts []string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, part := range parts {
		if err := add(out, part); err != nil {
			return err
		}
	}
	return nil
}

func add(out *os.File, part string) error {
	in, err := os.Open(part)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.Copy(out, in)
	if err == nil && n%4 != 0 {
		_, err = out.Write(make([]byte, 4-n%4))
	}
	return err
}
