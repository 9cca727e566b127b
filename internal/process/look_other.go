//go:build !linux

package process

import (
	"errors"
	"slices"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// startTime is in milliseconds since 1970, as the system recorded it. The
// error is ErrGone for zombies too.
func startTime(pid int) (int64, error) {
	p, err := open(pid)
	if err != nil {
		return 0, err
	}
	if status, err := p.Status(); err == nil && slices.Contains(status, process.Zombie) {
		return 0, ErrGone
	}
	return p.CreateTime()
}

// CommandLine gives the words that a process was started with.
func CommandLine(pid int) ([]string, error) {
	p, err := open(pid)
	if err != nil {
		return nil, err
	}
	return p.CmdlineSlice()
}

func open(pid int) (*process.Process, error) {
	p, err := process.NewProcess(int32(pid))
	if errors.Is(err, process.ErrorProcessNotRunning) {
		return nil, ErrGone
	}
	return p, err
}

// Started is when the process started, by this host's clock.
func (i Identity) Started() (time.Time, error) { return time.UnixMilli(i.Start).UTC(), nil }

func all() ([]int, error) {
	pids, err := process.Pids()
	found := make([]int, len(pids))
	for n, pid := range pids {
		found[n] = int(pid)
	}
	return found, err
}
