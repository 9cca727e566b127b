//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killDeaf kills the first processes of a container that a SIGTERM cannot
// reach. In a pid namespace of its own, the kernel drops signals for process 1
// that it has no handler for, so waiting for such a process is in vain.
func killDeaf(pids []int) {
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && deaf(string(status), unix.SIGTERM) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// deaf reads from /proc/PID/status whether a process neither handles a signal
// nor asked for it to be ignored.
func deaf(status string, signal unix.Signal) bool {
	masks := 0
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigCgt" && name != "SigIgn" {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil || mask&(1<<(uint(signal)-1)) != 0 {
			return false
		}
		masks++
	}
	return masks == 2
}

func childrenOf(pid int) []int {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	var children []int
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(content)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}
