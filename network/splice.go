package network

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// halfCloser is a connection of which each direction ends by itself.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// chunk is how much is under way at once in one direction of a connection.
const chunk = 32 << 10

// splice carries bytes both ways until both ends have said all, or one is gone.
func splice(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { _, _ = a.Close(), b.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Add(2)
	one := func(to, from net.Conn) {
		defer both.Done()
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, chunk))
		half, able := to.(halfCloser)
		if err != nil || !able {
			_, _ = a.Close(), b.Close() // the other direction ends too
			return
		}
		_ = half.CloseWrite() // it is gone, and the other direction will see it
	}
	go one(a, b)
	go one(b, a)
	both.Wait()
	_, _ = a.Close(), b.Close()
}

// exchange carries packets both ways until nothing has come for a while.
func exchange(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { _, _ = a.Close(), b.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Add(2)
	one := func(to, from net.Conn) {
		defer both.Done()
		content := make([]byte, chunk)
		for {
			_ = from.SetReadDeadline(time.Now().Add(idleUDP)) // one that is closed cannot be read
			n, err := from.Read(content)
			if err == nil {
				_, err = to.Write(content[:n])
			}
			if err != nil {
				_, _ = a.Close(), b.Close()
				return
			}
		}
	}
	go one(a, b)
	go one(b, a)
	both.Wait()
}
