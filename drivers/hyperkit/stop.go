package hyperkit

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

const (
	killLimit = 10 * time.Second
	// pressAgain is how long after a press the power button is pressed again: a
	// guest that boots does not hear the first ones.
	pressAgain = 2 * time.Second
)

// Stop presses the power button, which Hyperkit has under SIGTERM, until the
// guest has powered off or grace is over; then it kills. A guest that has not
// switched ACPI on yet has no button: SIGTERM ends its Hyperkit.
func (d *Driver) Stop(ctx context.Context, m drivers.Machine, grace time.Duration) (drivers.StopReport, error) {
	began := time.Now()
	r, state, err := find(ctx, m)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return drivers.StopReport{}, err
	}
	switch state {
	case drivers.Absent, drivers.Stopped:
		return drivers.StopReport{}, drivers.UnplugEnded(ctx, d.settings.Switch, m)
	case drivers.Unknown:
		return drivers.StopReport{}, fmt.Errorf("a process holds %s, and cannot be proven to be the machine's; it was not touched", lockPath(m))
	}
	if r.Keeper.PID == 0 {
		r.Keeper = keeperOf(m)
	}
	for _, rung := range []struct {
		step   drivers.StopStep
		limit  time.Duration
		signal syscall.Signal
	}{
		{drivers.StopACPI, grace, syscall.SIGTERM},
		{drivers.StopKILL, killLimit, syscall.SIGKILL},
	} {
		if rung.limit <= 0 {
			continue
		}
		ended, err := press(ctx, m, r, rung.limit, rung.signal)
		if err != nil {
			return drivers.StopReport{}, err
		}
		if ended {
			// Neither is a crash; what else is left does no harm.
			left := append(sockets(m), upPath(m), recordPath(m), pidPath(m), seededPath(m), consolePath(m))
			return drivers.StopReport{By: rung.step, Took: time.Since(began)}, errors.Join(local.Remove(left...), drivers.UnplugEnded(ctx, d.settings.Switch, m))
		}
	}
	return drivers.StopReport{}, fmt.Errorf("process %d does not end, not even by SIGKILL", r.Hyperkit.PID)
}

// press signals the process again and again until it and its keeper are gone.
func press(ctx context.Context, m drivers.Machine, r record, limit time.Duration, signal syscall.Signal) (ended bool, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again, look := time.NewTicker(pressAgain), time.NewTicker(settleStep)
	defer again.Stop()
	defer look.Stop()
	if err := send(r, signal); err != nil {
		return false, err
	}
	for {
		if gone, err := gone(m, r); err != nil || gone {
			return gone, err
		}
		select {
		case <-limited.Done():
			return false, ctx.Err()
		case <-again.C:
			if err := send(r, signal); err != nil {
				return false, err
			}
		case <-look.C:
		}
	}
}

func send(r record, signal syscall.Signal) error {
	if err := r.Hyperkit.Signal(signal); !errors.Is(err, process.ErrGone) {
		return err
	}
	return nil
}

// gone reports whether the processes have ended and freed what they held.
func gone(m drivers.Machine, r record) (bool, error) {
	if r.Hyperkit.Verify() != process.No || r.Keeper.Verify() == process.Yes {
		return false, nil
	}
	held, err := local.Locked(lockPath(m))
	return !held, err
}

// keeperOf finds the keeper of a machine whose record is lost, to wait for its
// end: the directory is the last word of its command line. It proves nothing.
func keeperOf(m drivers.Machine) process.Identity {
	found, err := process.Find(m.Dir)
	if err != nil {
		return process.Identity{}
	}
	for _, i := range found {
		if words, err := process.CommandLine(i.PID); err == nil && len(words) > 1 && words[len(words)-1] == m.Dir {
			return i
		}
	}
	return process.Identity{}
}
