package qemu

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lkup/lkup/drivers"
)

// The rungs below the power button, and how long each may take.
const (
	quitLimit = 2 * time.Second
	termLimit = 2 * time.Second
	killLimit = 5 * time.Second
)

// Stop goes down the ladder: the power button, then QEMU's own quit, then
// signals. The button has grace; the others some seconds each.
func (d *Driver) Stop(ctx context.Context, m drivers.Machine, grace time.Duration) (drivers.StopReport, error) {
	began := time.Now()
	status, err := d.Status(ctx, m)
	if err != nil {
		return drivers.StopReport{}, err
	}
	switch status.State {
	case drivers.Absent, drivers.Stopped:
		return drivers.StopReport{}, nil
	case drivers.Unknown:
		return drivers.StopReport{}, errors.New(status.Detail)
	case drivers.Running, drivers.Paused:
	}
	r, found := d.findRun(ctx, m)
	if !found {
		return drivers.StopReport{}, errors.New("its process cannot be proven to be the machine's")
	}
	rungs := []struct {
		step  drivers.StopStep
		limit time.Duration
		do    func() error
	}{
		{drivers.StopACPI, grace, func() error { return d.pressButton(ctx, m, status.State) }},
		{drivers.StopQuit, quitLimit, func() error { _, err := ask(ctx, monitorPath(m), "quit"); return err }},
		{drivers.StopTERM, termLimit, func() error { return r.Signal(syscall.SIGTERM) }},
		{drivers.StopKILL, killLimit, func() error { return r.Signal(syscall.SIGKILL) }},
	}
	for _, rung := range rungs {
		err = rung.do()
		if ctx.Err() != nil {
			return drivers.StopReport{}, ctx.Err()
		}
		limit := rung.limit
		if err != nil {
			limit = 0 // it had no effect, unless the process just ended
		}
		ended, waitErr := waitFree(ctx, filepath.Join(m.Dir, lockFile), limit)
		if waitErr != nil {
			return drivers.StopReport{}, waitErr
		}
		if ended {
			return drivers.StopReport{By: rung.step, Took: time.Since(began)}, nil
		}
	}
	return drivers.StopReport{}, fmt.Errorf("process %d does not end, not even by SIGKILL: %w", r.PID, err)
}

func (d *Driver) pressButton(ctx context.Context, m drivers.Machine, s drivers.State) error {
	if s == drivers.Paused {
		if _, err := ask(ctx, monitorPath(m), "cont"); err != nil {
			return err
		}
	}
	_, err := ask(ctx, monitorPath(m), "system_powerdown")
	return err
}

// waitFree waits until nobody holds the lock.
func waitFree(ctx context.Context, path string, limit time.Duration) (bool, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if held, err := lockHeld(path); err != nil || !held {
			return !held, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timeout.C:
			return false, nil
		case <-tick.C:
		}
	}
}
