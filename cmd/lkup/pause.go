package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type pauseCmd struct {
	dirFlag
	lockFlags
	VMs []string `arg:"" name:"vm" predictor:"vm" help:"Machines; vm is all of them."`
}

// Run holds machines still. What they hold in memory stays there.
func (c *pauseCmd) Run(call *call) error {
	return holdStill(call, c.dirFlag, lifeFlags{lockFlags: c.lockFlags, VMs: c.VMs}, "pause", "paused", (*reconciler.Reconciler).Pause)
}

type resumeCmd struct {
	dirFlag
	lockFlags
	VMs []string `arg:"" name:"vm" predictor:"vm" help:"Machines; vm is all of them."`
}

// Run lets paused machines go on.
func (c *resumeCmd) Run(call *call) error {
	return holdStill(call, c.dirFlag, lifeFlags{lockFlags: c.lockFlags, VMs: c.VMs}, "resume", "resumed", (*reconciler.Reconciler).Resume)
}

func holdStill(call *call, dir dirFlag, flags lifeFlags, command, past string, do func(*reconciler.Reconciler, context.Context, spec.Address) error) (err error) {
	l, err := flags.begin(call, dir, command)
	if err != nil {
		return err
	}
	defer l.store.Close()
	defer func() {
		err = errors.Join(err, ensureSupervisor(call.Host, l.paths, l.store.State(), stackFlags{dirFlag: dir}))
	}()
	r := newReconciler(call.Host, l.paths, l.known.Project, nil, l.store)
	failures := make([]error, len(l.chosen))
	var group sync.WaitGroup
	for n, a := range l.chosen {
		group.Go(func() { failures[n] = do(r, call.ctx, a) })
	}
	group.Wait()
	for n, a := range l.chosen {
		if failures[n] == nil {
			fmt.Fprintf(call.Err, "%s: %s\n", a, past)
		}
	}
	return errors.Join(failures...)
}
