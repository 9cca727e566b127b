package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// startTime is field 22 of /proc/PID/stat, in clock ticks since the system
// booted: see proc(5). The error is ErrGone for zombies too.
func startTime(pid int) (int64, error) {
	stat, err := read(pid, "stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in brackets, which it chose.
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has an unknown form", pid)
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return 0, ErrGone
	}
	return strconv.ParseInt(string(fields[19]), 10, 64)
}

// CommandLine gives the words that a process was started with. It is empty for
// kernel threads, and while a process ends.
func CommandLine(pid int) ([]string, error) {
	content, err := read(pid, "cmdline")
	if err != nil || len(content) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00"), nil
}

func read(pid int, file string) ([]byte, error) {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, ErrGone
	}
	return content, err
}

// Started is when the process started, by this host's clock; exact to about a
// second, and the same whenever it is asked unless the clock was set.
func (i Identity) Started() (time.Time, error) {
	p, err := process.NewProcess(int32(i.PID))
	if err != nil {
		return time.Time{}, ErrGone
	}
	ms, err := p.CreateTime()
	return time.UnixMilli(ms).UTC(), err
}

func all() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
