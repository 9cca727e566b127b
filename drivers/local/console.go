package local

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/lkup/lkup/drivers"
)

// Attach attaches to a machine's console by a connection that is dialled. A
// second person would wait there without a word, or share what is read, so who
// is attached holds a lock on a file.
func Attach(m drivers.Machine, lock string, dial func() (net.Conn, error)) (io.ReadWriteCloser, error) {
	held, err := os.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(held, syscall.LOCK_EX); err != nil {
		_ = held.Close() // the first error says more
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("somebody else is attached to the console of %s", m.Address)
		}
		return nil, err
	}
	conn, err := dial()
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return &console{Conn: conn, lock: held}, nil
}

// console is an attached console; closing it lets others attach.
type console struct {
	net.Conn
	lock *os.File
}

func (c *console) Close() error { return errors.Join(c.Conn.Close(), c.lock.Close()) }
