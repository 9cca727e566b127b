package drivers

import (
	"context"
	"time"
)

// Meter tells what running machines use of the host.
type Meter interface {
	// Usage is an error for a machine that does not run.
	Usage(ctx context.Context, m Machine) (Usage, error)
}

// Usage is what a machine's process has used. All but Resident count from its
// start; the difference between two is a rate.
type Usage struct {
	CPU      time.Duration // of all CPUs together
	Resident int64         // bytes of the host's memory, now
	Read     int64         // bytes, from all of its disks
	Written  int64
}
