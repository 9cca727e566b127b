package hyperkit

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

// Console attaches to the serial console, by the keeper's socket.
func (d *Driver) Console(ctx context.Context, m drivers.Machine) (io.ReadWriteCloser, error) {
	if _, state, err := find(ctx, m); err != nil {
		return nil, err
	} else if state != drivers.Running {
		return nil, fmt.Errorf("%s is %s", m.Address, state)
	}
	return local.Attach(m, attachedPath(m), func() (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", consolePath(m))
		if err != nil {
			err = fmt.Errorf("attach to the console: %w", err)
		}
		return conn, err
	})
}
