package qemu

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

func attachedPath(m drivers.Machine) string { return filepath.Join(m.RunDir, "console.lock") }

// Console attaches to the serial console.
func (d *Driver) Console(ctx context.Context, m drivers.Machine) (io.ReadWriteCloser, error) {
	if _, state, err := find(ctx, m); err != nil {
		return nil, err
	} else if state != drivers.Running {
		return nil, fmt.Errorf("%s is %s", m.Address, state)
	}
	return local.Attach(m, attachedPath(m), func() (net.Conn, error) { return dialUnix(ctx, consolePath(m)) })
}
