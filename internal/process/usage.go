package process

import (
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// Usage is what a process has used of the host.
type Usage struct {
	CPU      time.Duration // all of its threads', since it started
	Resident int64         // bytes of memory, now
}

// Usage asks the system. It is ErrGone, or ErrUnproven, if the process is not
// the one that was meant.
func (i Identity) Usage() (Usage, error) {
	p, err := process.NewProcess(int32(i.PID))
	if err != nil {
		return Usage{}, ErrGone
	}
	times, err := p.Times()
	if err != nil {
		return Usage{}, err
	}
	memory, err := p.MemoryInfo()
	if err != nil {
		return Usage{}, err
	}
	switch i.Verify() { // afterwards, so that nobody else was asked
	case Yes:
		return Usage{CPU: time.Duration((times.User + times.System) * float64(time.Second)), Resident: int64(memory.RSS)}, nil
	case No:
		return Usage{}, ErrGone
	}
	return Usage{}, ErrUnproven
}
