package fake

import (
	"context"
	"fmt"
	"time"

	"github.com/lkup/lkup/drivers"
)

// Usage makes its figures up from how long the machine has run: a quarter of a
// CPU, half of its memory, and a mebibyte read each second.
func (d *Driver) Usage(ctx context.Context, m drivers.Machine) (drivers.Usage, error) {
	s, err := d.Status(ctx, m)
	if err != nil {
		return drivers.Usage{}, err
	}
	if s.State != drivers.Running && s.State != drivers.Paused {
		return drivers.Usage{}, fmt.Errorf("%s does not run", m.Address)
	}
	up := time.Since(s.Started)
	return drivers.Usage{CPU: up / 4, Resident: int64(s.Memory) << 19, Read: int64(up.Seconds() * (1 << 20))}, nil
}
