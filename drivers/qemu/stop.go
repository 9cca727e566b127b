package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

// The rungs below the power button, and how long each may take.
const (
	quitLimit = 2 * time.Second
	termLimit = 2 * time.Second
	killLimit = 10 * time.Second
)

// Stop goes down the ladder: the power button, then QEMU's own quit, then
// signals. The button has grace, and is left out if there is none; the others
// have some seconds each, and take some milliseconds.
func (d *Driver) Stop(ctx context.Context, m drivers.Machine, grace time.Duration) (drivers.StopReport, error) {
	began := time.Now()
	r, state, err := find(ctx, m)
	if err != nil {
		return drivers.StopReport{}, err
	}
	switch state {
	case drivers.Absent, drivers.Stopped:
		return drivers.StopReport{}, drivers.UnplugEnded(ctx, d.settings.Switch, m)
	case drivers.Unknown:
		return drivers.StopReport{}, fmt.Errorf("a process holds %s or listens on %s, and cannot be proven to be the machine's; it was not touched", lockPath(m), monitorPath(m))
	}
	l := ladder{m: m, run: r}
	for _, rung := range []struct {
		step  drivers.StopStep
		limit time.Duration
		do    func(context.Context) error
	}{
		{drivers.StopACPI, grace, l.button},
		{drivers.StopQuit, quitLimit, l.quit},
		{drivers.StopTERM, termLimit, l.signal(syscall.SIGTERM)},
		{drivers.StopKILL, killLimit, l.signal(syscall.SIGKILL)},
	} {
		if err := ctx.Err(); err != nil {
			return drivers.StopReport{}, err
		}
		if rung.limit <= 0 {
			continue
		}
		ended, err := l.take(ctx, rung.limit, rung.do)
		if err != nil {
			return drivers.StopReport{}, err
		}
		if ended {
			// What is left behind does no harm: the next start replaces it.
			_ = local.Remove(runPath(m), pidPath(m), monitorPath(m), consolePath(m), seededPath(m))
			return drivers.StopReport{By: rung.step, Took: time.Since(began)}, drivers.UnplugEnded(ctx, d.settings.Switch, m)
		}
	}
	return drivers.StopReport{}, fmt.Errorf("process %d does not end, not even by SIGKILL", r.PID)
}

// ladder stops one process.
type ladder struct {
	m   drivers.Machine
	run run
}

// take does one rung until the process is gone or the limit is over. A rung
// that fails at once is not waited for.
func (l ladder) take(ctx context.Context, limit time.Duration, do func(context.Context) error) (ended bool, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- do(limited) }()
	defer func() {
		cancel()
		_ = <-failed // it was looked at, or the process is gone
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		gone, err := l.gone()
		if err != nil || gone {
			return gone, err
		}
		select {
		case err := <-failed:
			failed <- err
			if errors.Is(err, process.ErrUnproven) {
				return false, err
			}
			if err != nil && !errors.Is(err, process.ErrGone) {
				return false, ctx.Err()
			}
		default:
		}
		select {
		case <-limited.Done():
			return false, ctx.Err()
		case <-tick.C:
		}
	}
}

// gone reports whether the process has ended and freed what it held: its lock,
// its ports, its disks.
func (l ladder) gone() (bool, error) {
	if l.run.Verify() != process.No {
		return false, nil
	}
	held, err := local.Locked(lockPath(l.m))
	return !held, err
}

// slow reports whether QEMU merely took too long to answer, as it may on a busy
// host: a monitor that is there is asked again.
func slow(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// pressAgain is how long after a press the power button is pressed again: a
// guest that boots does not hear the first ones.
const pressAgain = 2 * time.Second

// button presses the power button until ctx ends. Once it was pressed, a monitor
// that is gone is a QEMU that ends: that is waited for.
func (l ladder) button(ctx context.Context) error {
	tick := time.NewTicker(pressAgain)
	defer tick.Stop()
	for pressed := false; ; {
		guest, err := askRunState(ctx, l.m)
		if err == nil && !guest.Running {
			_, err = ask(ctx, monitorPath(l.m), "cont")
		}
		if err == nil {
			_, err = ask(ctx, monitorPath(l.m), "system_powerdown")
		}
		pressed = pressed || err == nil
		if err != nil && !pressed && !slow(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (l ladder) quit(ctx context.Context) error {
	_, err := ask(ctx, monitorPath(l.m), "quit")
	return err
}

func (l ladder) signal(s syscall.Signal) func(context.Context) error {
	return func(context.Context) error { return l.run.Signal(s) }
}
