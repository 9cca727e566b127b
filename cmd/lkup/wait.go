package main

import (
	"context"
	"fmt"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type waitCmd struct {
	dirFlag
	For     string       `name:"for" default:"ready" enum:"ready,stopped,completed" help:"ready: it runs and was seen ready, or is a task that has completed. stopped: it does not run. completed: a task that ended with exit status 0."`
	Timeout durationFlag `name:"timeout" placeholder:"DURATION" default:"0s" help:"How long to wait at most; without a limit by default."`
	VMs     []string     `arg:"" name:"vm" predictor:"vm" help:"Machines; vm is all of them."`
}

// waitEvery is how often machines that are awaited are looked at.
const waitEvery = 200 * time.Millisecond

// Run waits for others to do something; it does nothing itself.
func (c *waitCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	chosen, err := meant(known, c.VMs)
	if err != nil {
		return err
	}
	ctx := call.ctx
	if c.Timeout.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout.Duration)
		defer cancel()
	}
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	for {
		open, err := c.open(call, paths, chosen)
		if err != nil || open == "" {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if call.ctx.Err() != nil {
				return call.ctx.Err()
			}
			return fmt.Errorf("after %s, %s", c.Timeout, open)
		}
	}
}

// open says of the first machine that is not as it is awaited how it is.
func (c *waitCmd) open(call *call, paths layout.Stack, chosen []spec.Address) (string, error) {
	known, err := state.Read(paths)
	if err != nil {
		return "", err
	}
	picked := state.State{Project: known.Project, Instances: map[spec.Address]state.Instance{}}
	for _, a := range chosen {
		i, there := known.Instances[a]
		if !there && c.For != "stopped" {
			return "", fmt.Errorf("%s was removed", a)
		}
		if there {
			picked.Instances[a] = i
		}
	}
	now, err := reconciler.Observe(context.WithoutCancel(call.ctx), picked, paths, allDrivers(call.Host))
	if err != nil {
		return "", err
	}
	for _, a := range sortedKeys(now) {
		i := now[a]
		switch {
		case c.holds(i):
			continue
		case i.Exit != nil && *i.Exit != 0 && c.For != "stopped":
			return "", fmt.Errorf("%s failed with exit status %d", a, *i.Exit)
		case c.For == "completed" && i.Applied.Kind != spec.KindTask:
			return "", fmt.Errorf("%s is no task, and never completes", a)
		}
		return fmt.Sprintf("%s is %s and not %s", a, described(i.Status.State), c.For), nil
	}
	return "", nil
}

func (c *waitCmd) holds(i planner.Instance) bool {
	completed := i.Exit != nil && *i.Exit == 0
	switch c.For {
	case "stopped":
		return i.Status.State == drivers.Stopped || i.Status.State == drivers.Absent
	case "completed":
		return completed
	}
	return completed || i.Status.State == drivers.Running && i.Proven
}

// described is a state in a sentence.
func described(s drivers.State) string {
	if s == drivers.Unknown {
		return "in an unknown state"
	}
	return string(s)
}
