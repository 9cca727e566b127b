package ssh

import (
	"errors"
	"fmt"
	"io"
	"net"
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

// Listen has the guest listen on an address of its own, 127.0.0.1:0 for any
// free port, and gives the connections that come in. It ends with the
// connection to the guest.
func (c *Conn) Listen(address string) (net.Listener, error) {
	l, err := c.client.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("have the guest listen on %s: %w", address, err)
	}
	return piped{l}, nil
}

// ListenUnix has the guest listen on a socket of its own.
func (c *Conn) ListenUnix(path string) (net.Listener, error) {
	l, err := c.client.ListenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("have the guest listen on %s: %w", path, err)
	}
	return piped{l}, nil
}

// piped puts a pipe before each connection: a channel of SSH knows no deadlines,
// and an HTTP server waits for ever where it sets one in vain.
type piped struct{ net.Listener }

func (p piped) Accept() (net.Conn, error) {
	conn, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	go Join(conn, there) // ends with either
	return here, nil
}

// Refused reports whether a guest answered that it cannot connect, so that
// another connection to it would not help.
func Refused(err error) bool {
	var refused *ssh.OpenChannelError
	return errors.As(err, &refused)
}
