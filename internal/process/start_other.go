//go:build !linux

package process

import "github.com/shirou/gopsutil/v4/process"

// startTime is in milliseconds since 1970, as the system recorded it.
func startTime(pid int) (int64, error) {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return 0, err
	}
	if status, err := p.Status(); err == nil && len(status) > 0 && status[0] == process.Zombie {
		return 0, ErrGone
	}
	return p.CreateTime()
}
