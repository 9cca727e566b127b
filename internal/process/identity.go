// Package process tells which process is ours. A pid alone proves nothing: it
// is given again to others. Pid, start time and a word of the command line
// together do. Only a process so proven is ever signalled; when there is doubt,
// it is left alone.
package process

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Identity names one process for all time.
type Identity struct {
	PID   int    `json:"pid"`
	Start int64  `json:"start"` // when it started, in the system's own units; see startTime
	Nonce string `json:"nonce"` // stands in one of the words of its command line
}

// Verdict says whether a process is the one that was meant.
type Verdict string

// The verdicts.
const (
	Yes    Verdict = "yes"
	No     Verdict = "no" // it is gone, or the pid is another process's by now
	Unsure Verdict = "unsure"
)

// Of identifies the process that has this pid now and was started with nonce
// in its command line.
func Of(pid int, nonce string) (Identity, error) {
	start, err := startTime(pid)
	return Identity{PID: pid, Start: start, Nonce: nonce}, err
}

// Verify looks whether the very process still runs. A zombie does not. The
// verdict is Unsure if the command line cannot be read, as those of other users
// may not be, or is empty, as it is for a moment while a process ends.
func (i Identity) Verify() Verdict {
	if i.PID <= 0 || i.Nonce == "" {
		return No
	}
	start, err := startTime(i.PID)
	switch {
	case errors.Is(err, ErrGone):
		return No
	case err != nil:
		return Unsure
	case start != i.Start:
		return No
	}
	words, err := CommandLine(i.PID)
	switch {
	case errors.Is(err, ErrGone):
		return No
	case err != nil || len(words) == 0:
		return Unsure
	case has(words, i.Nonce):
		return Yes
	}
	return No
}

// ErrGone says that a process no longer runs.
var ErrGone = errors.New("the process is gone")

// ErrUnproven says that a process could not be proven to be the one, and was
// not signalled.
var ErrUnproven = errors.New("the process cannot be proven to be the one; it was not signalled")

// Signal signals the process if, and only if, it is proven to be the one. It
// returns ErrGone or ErrUnproven otherwise. On Linux the pid cannot pass to
// another process between the proof and the signal.
func (i Identity) Signal(signal syscall.Signal) error {
	if i.PID <= 0 {
		return ErrGone
	}
	p, err := os.FindProcess(i.PID) // holds on to the process, where the system can
	if err != nil {
		return ErrGone
	}
	defer func() { _ = p.Release() }()
	switch i.Verify() {
	case Yes:
	case No:
		return ErrGone
	default:
		return ErrUnproven
	}
	if err := p.Signal(signal); errors.Is(err, os.ErrProcessDone) {
		return ErrGone
	} else if err != nil {
		return err
	}
	return nil
}

// Find looks through all processes that may be seen for those with nonce in
// their command line; the caller is not among them. It reads a file for each
// process: it is for when nothing better is known.
func Find(nonce string) ([]Identity, error) {
	if nonce == "" {
		return nil, nil
	}
	pids, err := all()
	if err != nil {
		return nil, err
	}
	var found []Identity
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		words, err := CommandLine(pid)
		if err != nil || !has(words, nonce) {
			continue // it ended, or is another user's
		}
		if i, err := Of(pid, nonce); err == nil {
			found = append(found, i)
		}
	}
	return found, nil
}

func has(words []string, nonce string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, nonce) })
}
