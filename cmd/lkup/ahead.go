package main

import (
	"context"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
)

// ahead is a stack's state and what its machines do, looked at while the stack
// files are still being evaluated: each takes about as long as the other. Only
// a command without the stack's lock may use it, for it may be outdated.
type ahead struct {
	done  chan struct{} // closed once the rest is there
	paths layout.Stack
	known state.State
	now   planner.Inventory
	ok    bool
}

// lookAhead begins. Which stack it is, only the stack files say; a directory
// with several is not guessed at.
func lookAhead(ctx context.Context, host Host, flags stackFlags) *ahead {
	a := &ahead{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		dir, _, err := flags.project(host)
		if err != nil {
			return
		}
		found, err := state.Of(host.Layout(), dir)
		if err != nil || len(found) != 1 {
			return
		}
		a.paths = found[0]
		if a.known, err = state.Read(a.paths); err != nil {
			return
		}
		a.now, err = reconciler.Observe(ctx, a.known, a.paths, allDrivers(host))
		a.ok = err == nil
	}()
	return a
}

// of gives what was seen of a stack. What was not, or failed, is left to be
// looked at again, where its error belongs.
func (a *ahead) of(paths layout.Stack) (state.State, planner.Inventory, bool) {
	if a == nil {
		return state.State{}, nil, false
	}
	<-a.done
	return a.known, a.now, a.ok && a.paths == paths
}
