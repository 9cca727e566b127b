package ssh

import (
	"errors"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Join copies both ways between two streams until both have ended, or one of
// them is broken, and closes them. A half that ends is passed on, where the
// other can end by halves.
func Join(a, b io.ReadWriteCloser) {
	var group sync.WaitGroup
	group.Go(func() { half(a, b) })
	group.Go(func() { half(b, a) })
	group.Wait()
	_, _ = a.Close(), b.Close() // all was said
}

func half(to, from io.ReadWriteCloser) {
	if _, err := io.Copy(to, from); err != nil {
		_, _ = to.Close(), from.Close() // the other half ends with it
		return
	}
	if w, can := to.(interface{ CloseWrite() error }); can {
		_ = w.CloseWrite()
		return
	}
	_ = to.Close()
}

// Refused reports whether a guest answered that it cannot connect, so that
// another connection to it would not help.
func Refused(err error) bool {
	var refused *ssh.OpenChannelError
	return errors.As(err, &refused)
}
