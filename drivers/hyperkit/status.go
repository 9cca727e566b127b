package hyperkit

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

// record is what the keeper wrote of the run, in the file of recordPath.
type record struct {
	Hyperkit process.Identity `json:"hyperkit"`
	Keeper   process.Identity `json:"keeper"`
	Started  time.Time        `json:"started"`
	Ports    []drivers.Port   `json:"ports,omitempty"`
	Volumes  map[string]int   `json:"volumes,omitempty"`
}

// Status asks the lock and the processes.
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
			"a process holds %s, and none can be proven to be the machine's; see: fuser -v %[1]s", shellescape.QuoteCommand([]string{lockPath(m)}))}, nil
	}
	status := drivers.Status{State: drivers.Running, PID: r.Hyperkit.PID, Started: r.Started, Volumes: r.Volumes}
	if words, err := process.CommandLine(r.Hyperkit.PID); err == nil {
		status.Memory = memoryOf(words)
		status.MemoryMax = status.Memory
	}
	if r.Keeper.Verify() == process.Yes {
		if status.Ports = r.Ports; len(m.NICs) > 0 {
			status.Ports = drivers.SwitchedPorts(ctx, d.settings.Switch, m)
		}
	} else {
		status.Detail = "its keeper is gone, and with it its console, network and ports; restart it"
	}
	return status, nil
}

// memoryOf reads back what args wrote.
func memoryOf(words []string) int {
	for n := 1; n < len(words); n++ {
		if words[n-1] == "-m" {
			memory, _ := strconv.Atoi(strings.TrimSuffix(words[n], "M")) // 0 if somebody else wrote it
			return memory
		}
	}
	return 0
}

// Ended looks for the machine's processes, and for the mark that the keeper
// removes when the guest has powered off.
func (d *Driver) Ended(ctx context.Context, m drivers.Machine) (drivers.Ending, error) {
	_, state, err := find(ctx, m)
	if err != nil || state != drivers.Stopped {
		return drivers.NotEnded, err
	}
	crashed, err := local.Exists(upPath(m))
	if err != nil || !crashed {
		return drivers.EndedOff, err
	}
	return drivers.EndedBad, nil
}

const (
	// settleLimit is how long processes may take to come or to go: a keeper
	// holds the lock before Hyperkit runs, and after it.
	settleLimit = 2 * time.Second
	settleStep  = 10 * time.Millisecond
)

// find finds the machine's Hyperkit: by its record, or, where that tells
// nothing, by its mark. The state is Absent, Stopped, Running, or Unknown if
// something holds the machine's lock and cannot be proven to be its process.
func find(ctx context.Context, m drivers.Machine) (record, drivers.State, error) {
	for limit := time.Now().Add(settleLimit); ; {
		if r, ok := recorded(m); ok {
			return r, drivers.Running, nil
		}
		held, err := local.Locked(lockPath(m))
		if err != nil {
			return record{}, "", err
		}
		// Whoever removed the lock did not end the process.
		if r, ok := marked(m, held); ok {
			return r, drivers.Running, nil
		}
		if !held {
			created, err := local.Exists(createdPath(m))
			if err != nil {
				return record{}, "", err
			}
			if created {
				return record{}, drivers.Stopped, nil
			}
			return record{}, drivers.Absent, nil
		}
		if time.Now().After(limit) {
			return record{}, drivers.Unknown, nil
		}
		select {
		case <-ctx.Done():
			return record{}, "", ctx.Err()
		case <-time.After(settleStep):
		}
	}
}

// recorded gives the recorded run if its Hyperkit is proven to run.
func recorded(m drivers.Machine) (record, bool) {
	content, err := os.ReadFile(recordPath(m))
	var r record
	if err != nil || json.Unmarshal(content, &r) != nil || r.Hyperkit.Nonce != mark(m) {
		return record{}, false
	}
	return r, r.Hyperkit.Verify() == process.Yes
}

// marked looks for the machine's Hyperkit among all processes. It is dear, so
// it is only done while something holds the lock, or listens for the machine.
// Several prove nothing.
func marked(m drivers.Machine, held bool) (record, bool) {
	if listening, err := local.Exists(consolePath(m)); !held && (err != nil || !listening) {
		return record{}, false
	}
	found, err := process.Find(mark(m))
	if err != nil || len(found) != 1 {
		return record{}, false
	}
	r := record{Hyperkit: found[0]}
	if r.Started, err = r.Hyperkit.Started(); err != nil {
		return record{}, false
	}
	return r, true
}

func write(path string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
