package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// StageCompleted is a task's that has ended with exit status 0.
const StageCompleted Stage = "completed"

// taskError is a task that ended otherwise than it should.
type taskError struct {
	status int
	known  bool
}

func (e *taskError) Error() string {
	if !e.known {
		return "it ended without telling its exit status: it may have crashed"
	}
	return fmt.Sprintf("it failed with exit status %d", e.status)
}

// FailedTask is the exit status of the task that an apply failed for, if one
// did and told it.
func FailedTask(err error) (status int, told bool) {
	var task *taskError
	if errors.As(err, &task) && task.known {
		return task.status, true
	}
	return 0, false
}

// Is says that its machine has ended.
func (e *taskError) Is(target error) bool { return target == errExited }

// finish waits until a task has ended, and records how.
func (u *unit) finish(ctx context.Context, w *wait) error {
	end, err := w.exit(ctx)
	if err != nil {
		return u.explain(w.driver, w.machine, w, err)
	}
	i := w.instance
	u.adopt(&i)
	i.Exit, i.Halted = &end, false
	if err := u.Store.Put(i); err != nil {
		return err
	}
	if end.Status != 0 {
		failed := &taskError{status: end.Status, known: true}
		u.tell(i, "failed", u.began, failed)
		return u.explain(w.driver, w.machine, w, failed)
	}
	u.tell(i, "completed", u.began, nil)
	u.reached(StageCompleted)
	return nil
}

// exit polls until the machine has ended.
func (w *wait) exit(ctx context.Context) (state.Exit, error) {
	limit := w.instance.Applied.Ready.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %s", limit))
	defer cancel()
	w.advance(StageProcess)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for told := (*int)(nil); ; {
		lines, err := w.console.read()
		if err != nil {
			return state.Exit{}, err
		}
		for _, line := range lines {
			w.hear(line)
			if status, tells := guest.ParseExit(line); tells {
				told = &status
			}
		}
		if now := w.Now(); now.Sub(w.asked) >= statusEvery || told != nil {
			w.asked = now
			status, err := w.driver.Status(ctx, w.machine)
			if err != nil && ctx.Err() == nil {
				return state.Exit{}, err
			}
			if err == nil && status.State == drivers.Stopped {
				return w.ended(ctx, told)
			}
		}
		select {
		case <-ctx.Done():
			return state.Exit{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// ended says how a machine ended that no longer runs.
func (w *wait) ended(ctx context.Context, told *int) (state.Exit, error) {
	lines, err := w.console.read() // the last ones
	if err != nil {
		return state.Exit{}, err
	}
	for _, line := range lines {
		if status, tells := guest.ParseExit(line); tells {
			told = &status
		}
	}
	if told == nil {
		if told, err = silentExit(ctx, w.driver, w.instance, w.machine); err != nil {
			return state.Exit{}, err
		}
	}
	if told == nil {
		return state.Exit{}, &taskError{}
	}
	return state.Exit{Status: *told, At: w.Now().UTC()}, nil
}

// silentExit is the exit status of a guest that has no init of lkup's, and so
// tells none: to power off is to succeed.
func silentExit(ctx context.Context, driver drivers.Driver, i state.Instance, m drivers.Machine) (*int, error) {
	ender, able := driver.(drivers.Ender)
	if i.Guest || !able {
		return nil, nil
	}
	ending, err := ender.Ended(ctx, m)
	if err != nil || ending != drivers.EndedOff || Panicked(m) {
		return nil, err
	}
	return new(int), nil
}

// exitOf is how a task ended: as recorded, or, if its lkup did not live to see
// it, as its console's log says.
func exitOf(i state.Instance, m drivers.Machine, s drivers.Status) *int {
	switch {
	case i.Applied.Kind != spec.KindTask || s.State != drivers.Stopped:
		return nil
	case i.Exit != nil:
		return &i.Exit.Status
	}
	started, lines := lastRun(m.Dir)
	if started.Before(i.AppliedAt.Truncate(time.Second)) {
		return nil // that was an earlier run
	}
	var told *int
	for _, line := range lines {
		if status, tells := guest.ParseExit(line); tells {
			told = &status
		}
	}
	return told
}

// lastRun gives what a guest has written since its last start, and when that
// was; the zero time if that is not known.
func lastRun(dir string) (started time.Time, lines []string) {
	c := newConsole(dir)
	lines, err := c.read()
	if err != nil {
		return time.Time{}, nil
	}
	f, err := os.Open(filepath.Join(dir, drivers.ConsoleLog))
	if err != nil {
		return time.Time{}, nil
	}
	defer f.Close()
	at, err := lastStart(f)
	if err != nil {
		return time.Time{}, nil
	}
	note := make([]byte, min(at, noteLength))
	if _, err := f.ReadAt(note, at-int64(len(note))); err != nil {
		return time.Time{}, nil
	}
	text := strings.TrimSuffix(string(note), " "+startNote+"\n")
	started, err = time.Parse(time.RFC3339Nano, text[strings.LastIndex(text, "\n")+1:])
	if err != nil {
		return time.Time{}, nil
	}
	return started, lines
}

// noteLength is more than a line of noteStart has.
const noteLength = 128
