package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/lease"
	"github.com/lkup/lkup/internal/process"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// reapedAtOnce is how many leased stacks are removed together.
const reapedAtOnce = 4

// reap removes what processes left that were killed. A lease that cannot be
// ended is no reason for another command to fail: the next one tries again.
func reap(call *call) {
	abandoned, err := lease.Abandoned(call.Layout())
	if err != nil {
		fmt.Fprintln(call.Err, view.Clean("look for stacks that were left: "+err.Error()))
	}
	var group errgroup.Group
	group.SetLimit(reapedAtOnce)
	failures := make([]error, len(abandoned))
	for n, l := range abandoned {
		group.Go(func() error {
			failures[n] = endLease(call.ctx, call, l)
			// What the killed process had started, as far as it says so itself.
			if _, err := process.EndUnder(lease.Env + "=" + l.Name); err != nil {
				fmt.Fprintln(call.Err, view.Clean("end the commands of "+l.Name+": "+err.Error()))
			}
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	for n, l := range abandoned {
		if failures[n] != nil {
			fmt.Fprintln(call.Err, view.Clean(failures[n].Error()))
			_ = l.Release() // somebody else may do better
			continue
		}
		fmt.Fprintf(call.Err, "Removed %s, whose process was killed.\n", l.Name)
	}
}

// endLease removes the machines that live under a lease, their disks and
// volumes, and the lease.
func endLease(ctx context.Context, call *call, l *lease.Lease) error {
	found, err := l.Stacks(call.Layout())
	for _, paths := range found {
		err = errors.Join(err, destroyLeased(ctx, call, l, paths))
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w; lkup ls shows it, and the next lkup tries again", l.Name, err)
	}
	return l.End()
}

func destroyLeased(ctx context.Context, call *call, l *lease.Lease, paths layout.Stack) error {
	known, err := state.Read(paths)
	if err != nil {
		return err
	}
	if known.Serial != 0 && known.Project == l.Dir {
		if err := destroyStack(ctx, call, paths, known); err != nil {
			return err
		}
	}
	return errors.Join(os.RemoveAll(paths.Dir), os.RemoveAll(paths.Run))
}

// destroyStack removes all machines of a stack. Nobody will miss what they have
// not written yet.
func destroyStack(ctx context.Context, call *call, paths layout.Stack, known state.State) error {
	quiet := *call
	quiet.ctx = ctx
	store, err := lockStack(&quiet, paths, known.Stack, known.Project, "run", lockFlags{LockTimeout: durationFlag{restartLockLimit}})
	if err != nil {
		return err
	}
	defer store.Close()
	now, err := reconciler.Observe(ctx, store.State(), paths, allDrivers(call.Host))
	if err != nil {
		return err
	}
	plan := planner.New(planner.Input{
		Stack: &spec.Stack{Name: known.Stack}, Abilities: abilities(call.Host), Inventory: now, Destroy: true,
	})
	if blocked := plan.Blocked(); len(blocked) > 0 {
		return errors.New(now[blocked[0]].Status.Detail)
	}
	rec := newReconciler(call.Host, paths, known.Project, nil, store)
	rec.Grace = new(time.Duration)
	if err := rec.Apply(ctx, nil, plan, reconciler.Materials{}); err != nil {
		return err
	}
	return store.Remove()
}

// reaps reports whether a command looks for what was left: all but those that
// lkup starts itself, and those that shells ask.
func reaps(command *kong.Node) bool {
	return command != nil && !command.Hidden && command.Name != "completion"
}
