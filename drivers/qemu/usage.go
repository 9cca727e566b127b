package qemu

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lkup/lkup/drivers"
)

// Usage asks the system of the proven process, and QEMU of the disks.
func (d *Driver) Usage(ctx context.Context, m drivers.Machine) (drivers.Usage, error) {
	r, state, err := find(ctx, m)
	if err != nil {
		return drivers.Usage{}, err
	}
	if state != drivers.Running {
		return drivers.Usage{}, fmt.Errorf("%s does not run", m.Address)
	}
	process, err := r.Usage()
	if err != nil {
		return drivers.Usage{}, err
	}
	usage := drivers.Usage{CPU: process.CPU, Resident: process.Resident}
	reply, err := ask(ctx, monitorPath(m), "query-blockstats")
	if err != nil {
		return usage, nil // it is busy: what the system knows is something
	}
	var disks []struct {
		Stats struct {
			Read    int64 `json:"rd_bytes"`
			Written int64 `json:"wr_bytes"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(reply, &disks); err != nil {
		return usage, fmt.Errorf("QEMU's monitor said something unknown: %w", err)
	}
	for _, disk := range disks {
		usage.Read += disk.Stats.Read
		usage.Written += disk.Stats.Written
	}
	return usage, nil
}
