package reconciler

import (
	"context"
	"errors"
	"fmt"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// Pause holds a machine still until it is resumed or started. It may be
// repeated.
func (r *Reconciler) Pause(ctx context.Context, a spec.Address) error {
	return r.hold(ctx, a, true, func(p drivers.Pauser, m drivers.Machine) error { return p.Pause(ctx, m) })
}

// Resume lets a paused machine go on, and is success for one that runs.
func (r *Reconciler) Resume(ctx context.Context, a spec.Address) error {
	return r.hold(ctx, a, false, func(p drivers.Pauser, m drivers.Machine) error { return p.Resume(ctx, m) })
}

func (r *Reconciler) hold(ctx context.Context, a spec.Address, pause bool, do func(drivers.Pauser, drivers.Machine) error) error {
	i, found := r.Store.Instance(a)
	if !found {
		return fmt.Errorf("%s is not in the state", a)
	}
	effect := "resume"
	if pause {
		effect = "pause"
	}
	driver := r.Drivers[i.Driver]
	pauser, able := driver.(drivers.Pauser)
	if !able {
		return fmt.Errorf("driver %s cannot %s %s", i.Driver, effect, a)
	}
	m := Machine(i, r.Layout, r.Project)
	status, err := driver.Status(ctx, m)
	if err != nil {
		return err
	}
	if status.State != drivers.Running && status.State != drivers.Paused {
		return fmt.Errorf("%s is %s; type lkup start %s", a, status.State, i.Applied.Name)
	}
	i.Halted = pause
	if err := r.Store.Put(i); err != nil {
		return err
	}
	end, err := r.Store.Begin(state.Entry{Time: r.Now().UTC(), Address: a, ID: i.ID, Effect: effect})
	if err != nil {
		return err
	}
	begun := r.Now()
	err = errors.Join(do(pauser, m), end())
	r.tell(i, effect, begun, err)
	if err != nil {
		return fmt.Errorf("%s %s: %w", effect, a, err)
	}
	return nil
}
