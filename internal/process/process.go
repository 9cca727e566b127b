// Package process tells which process is ours. A pid alone proves nothing: it
// is given again to others. Pid, start time and a random word in the command
// line together do, and only a process so proven is ever signalled.
package process

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/shirou/gopsutil/v4/process"
)

// Identity names one process for all time.
type Identity struct {
	PID   int    `json:"pid"`
	Start int64  `json:"start"` // when it started, in the kernel's own units; equal for one process
	Nonce string `json:"nonce"` // a word of its command line
}

// Of identifies a process that was started with nonce in its command line.
func Of(pid int, nonce string) (Identity, error) {
	start, err := startTime(pid)
	return Identity{PID: pid, Start: start, Nonce: nonce}, err
}

// Alive reports whether the very process still runs. A zombie does not.
func (i Identity) Alive() bool {
	start, err := startTime(i.PID)
	return err == nil && start == i.Start && hasWord(i.PID, i.Nonce)
}

// ErrGone says that the process no longer runs, or is no longer proven.
var ErrGone = errors.New("the process is gone")

// Signal signals the process if it is proven to be the one.
func (i Identity) Signal(signal syscall.Signal) error {
	if !i.Alive() {
		return ErrGone
	}
	p, err := os.FindProcess(i.PID) // by a descriptor where the system has them
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }()
	if !i.Alive() {
		return ErrGone
	}
	return p.Signal(signal)
}

// Find looks through all processes for one with nonce in its command line. It
// reads a file for each of them: for when nothing better is known.
func Find(nonce string) (Identity, bool) {
	pids, err := process.Pids()
	if err != nil {
		return Identity{}, false
	}
	for _, pid := range pids {
		if int(pid) == os.Getpid() || !hasWord(int(pid), nonce) {
			continue
		}
		if i, err := Of(int(pid), nonce); err == nil {
			return i, true
		}
	}
	return Identity{}, false
}

// hasWord reports whether nonce stands in the process's arguments.
func hasWord(pid int, nonce string) bool {
	p, err := process.NewProcess(int32(pid))
	if err != nil || nonce == "" {
		return false
	}
	words, err := p.CmdlineSlice()
	return err == nil && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, nonce) })
}
