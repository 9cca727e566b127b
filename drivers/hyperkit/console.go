package hyperkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/lkup/lkup/drivers"
)

// Console attaches to the serial console, by the keeper's socket. Who is
// attached holds a lock.
func (d *Driver) Console(ctx context.Context, m drivers.Machine) (io.ReadWriteCloser, error) {
	if _, state, err := find(ctx, m); err != nil {
		return nil, err
	} else if state != drivers.Running {
		return nil, fmt.Errorf("%s is %s", m.Address, state)
	}
	lock, err := os.OpenFile(attachedPath(m), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(lock, syscall.LOCK_EX); err != nil {
		_ = lock.Close() // the first error says more
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("somebody else is attached to the console of %s", m.Address)
		}
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", consolePath(m))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach to the console: %w", err), lock.Close())
	}
	return &console{Conn: conn, lock: lock}, nil
}

// console is an attached console; closing it lets others attach.
type console struct {
	net.Conn
	lock *os.File
}

func (c *console) Close() error { return errors.Join(c.Conn.Close(), c.lock.Close()) }
