package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

// statusLimit bounds the question whether a machine is paused. It is answered
// within a millisecond or two; a QEMU that hangs is still a running one.
const statusLimit = 2 * time.Second

// Status asks the lock, the process and QEMU itself.
func (d *Driver) Status(ctx context.Context, m drivers.Machine) (drivers.Status, error) {
	r, state, err := find(ctx, m)
	if err != nil {
		return drivers.Status{}, err
	}
	switch state {
	case drivers.Absent, drivers.Stopped:
		return drivers.Status{State: state}, nil
	case drivers.Unknown:
		return drivers.Status{State: state, Detail: fmt.Sprintf(
			"a process holds %s or listens on %s, and none can be proven to be the machine's; see: fuser -v %[1]s %[2]s",
			shellescape.QuoteCommand([]string{lockPath(m)}), shellescape.QuoteCommand([]string{monitorPath(m)}))}, nil
	}
	status := drivers.Status{State: drivers.Running, PID: r.PID, Started: r.Started}
	if words, err := process.CommandLine(r.PID); err == nil {
		status.Ports, status.MemoryMax = settings(words)
		status.Memory = status.MemoryMax
	}
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	if len(m.NICs) > 0 {
		status.Ports = drivers.SwitchedPorts(ctx, d.settings.Switch, m)
	}
	if err := inquire(ctx, m, &status); err != nil {
		status.Detail = "its monitor does not answer: " + err.Error()
	}
	return status, nil
}

// inquire asks QEMU what its command line cannot tell: what was changed since.
func inquire(ctx context.Context, m drivers.Machine, status *drivers.Status) error {
	q, err := dialMonitor(ctx, monitorPath(m))
	if err != nil {
		return err
	}
	defer q.close()
	guest, err := q.runState()
	if err != nil {
		return err
	}
	if !guest.Running {
		status.State, status.Detail = drivers.Paused, guest.Status
		if status.Stalled = guest.Status == ioError; status.Stalled {
			if status.Detail, err = q.trouble(m); err != nil {
				return err
			}
		}
	}
	if len(m.NICs) == 0 {
		ports, err := q.forwards()
		if err != nil {
			return err
		}
		status.Ports = drivers.InOrder(ports, m.Ports)
	}
	if status.Memory, err = q.memory(); err != nil {
		return err
	}
	status.Volumes, err = q.volumes(m)
	return err
}

// Ended looks for the machine's process, and for the file that QEMU removes
// when it ends by itself.
func (d *Driver) Ended(ctx context.Context, m drivers.Machine) (drivers.Ending, error) {
	_, state, err := find(ctx, m)
	if err != nil || state != drivers.Stopped {
		return drivers.NotEnded, err
	}
	crashed, err := local.Exists(pidPath(m))
	if err != nil || !crashed {
		return drivers.EndedOff, err
	}
	return drivers.EndedBad, nil
}

// ioError is the state of a machine that a disk has stopped.
const ioError = "io-error"

// block is a device as query-block has it.
type block struct {
	Status string `json:"io-status"` // ok, nospace or failed
	Medium struct {
		Node string `json:"node-name"`
		File string `json:"file"`
	} `json:"inserted"`
}

// trouble says which disk stopped the machine, and what to do.
func (q *monitor) trouble(m drivers.Machine) (string, error) {
	reply, err := q.do("query-block", nil)
	if err != nil {
		return "", err
	}
	var all []block
	if err := json.Unmarshal(reply, &all); err != nil {
		return "", err
	}
	return troubleText(m, all), nil
}

func troubleText(m drivers.Machine, all []block) string {
	for _, b := range all {
		what, path := "its own disk", overlayPath(m, 0)
		for n, v := range m.Volumes {
			if b.Medium.Node == volumeNode(n) {
				what, path = "volume "+v.Name, v.Path
			}
		}
		switch b.Status {
		case "nospace":
			return fmt.Sprintf("the host's disk is full, and nothing more can be written to %s; free some space for %s, then type: lkup resume %s", what, filepath.Dir(path), m.Name)
		case "failed":
			return fmt.Sprintf("the host cannot write or read %s; mend %s, then type: lkup resume %s", what, path, m.Name)
		}
	}
	return ioError
}

type guestState struct {
	Running bool   `json:"running"`
	Status  string `json:"status"` // running, paused, io-error, internal-error and the like
}

func askRunState(ctx context.Context, m drivers.Machine) (guestState, error) {
	q, err := dialMonitor(ctx, monitorPath(m))
	if err != nil {
		return guestState{}, err
	}
	defer q.close()
	return q.runState()
}

func (q *monitor) runState() (guestState, error) {
	var s guestState
	reply, err := q.do("query-status", nil)
	if err == nil {
		err = json.Unmarshal(reply, &s)
	}
	return s, err
}

// run identifies a running process, in the file of runPath.
type run struct {
	process.Identity
	Started time.Time `json:"started"`
}

// settleLimit is how long a process that another lkup is starting just now
// may take to be found.
const settleLimit = time.Second

// find finds the machine's process: by its record, or, if the lkup that
// started it died before it wrote one, by its mark. The state is Absent,
// Stopped, Running, or Unknown if something holds the machine's lock or listens
// in its place, and nothing can be proven to be its process.
func find(ctx context.Context, m drivers.Machine) (run, drivers.State, error) {
	for limit := time.Now().Add(settleLimit); ; {
		if r, ok := recorded(m); ok {
			return r, drivers.Running, nil
		}
		held, err := local.Locked(lockPath(m))
		if err != nil {
			return run{}, "", err
		}
		created, err := local.Exists(createdPath(m))
		if err != nil {
			return run{}, "", err
		}
		// Whoever removed the lock did not end the process.
		if !held && !listens(monitorPath(m)) {
			if created {
				return run{}, drivers.Stopped, nil
			}
			return run{}, drivers.Absent, nil
		}
		if r, ok := marked(m); ok {
			return r, drivers.Running, nil
		}
		if time.Now().After(limit) {
			return run{}, drivers.Unknown, nil
		}
		select {
		case <-ctx.Done():
			return run{}, "", ctx.Err()
		case <-time.After(settleStep):
		}
	}
}

// settleStep is how often a machine is looked at that is on its way up or down.
const settleStep = 10 * time.Millisecond

// recorded gives the recorded process if it is proven to run.
func recorded(m drivers.Machine) (run, bool) {
	content, err := os.ReadFile(runPath(m))
	var r run
	if err != nil || json.Unmarshal(content, &r) != nil || r.Nonce != mark(m) {
		return run{}, false
	}
	return r, r.Verify() == process.Yes
}

// marked looks for the machine's process among all, and records it. Several
// prove nothing.
func marked(m drivers.Machine) (run, bool) {
	found, err := process.Find(mark(m))
	if err != nil || len(found) != 1 {
		return run{}, false
	}
	r := run{Identity: found[0]}
	if r.Started, err = r.Identity.Started(); err != nil {
		return run{}, false
	}
	_ = record(m, r) // else it is looked for again
	return r, true
}

func record(m drivers.Machine, r run) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	part := runPath(m) + ".part"
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return local.Full(err, m.Dir)
	}
	return os.Rename(part, runPath(m))
}

// listenLimit bounds a connection that nothing is asked over.
const listenLimit = 500 * time.Millisecond

// listens reports whether some process listens on a socket.
func listens(path string) bool {
	if there, err := local.Exists(path); err == nil && !there {
		return false
	}
	conn, err := net.DialTimeout("unix", path, listenLimit)
	if err == nil {
		_ = conn.Close() // nothing was said
	}
	return err == nil || errors.Is(err, syscall.EAGAIN)
}
