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
	For     string       `name:"for" default:"ready" enum:"ready,stopped" help:"ready: it runs and was seen ready. stopped: it does not run."`
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
	all := allDrivers(call.Host)
	for _, a := range chosen {
		i, there := known.Instances[a]
		if !there && c.For == "stopped" {
			continue
		}
		if !there {
			return "", fmt.Errorf("%s was removed", a)
		}
		driver, found := all[i.Driver]
		if !found {
			return "", fmt.Errorf("%s was made by driver %q, which this lkup does not have", a, i.Driver)
		}
		status, err := driver.Status(context.WithoutCancel(call.ctx), reconciler.Machine(i, paths, known.Project))
		if err != nil {
			return "", err
		}
		if !c.holds(reconciler.Observed(i, status)) {
			return fmt.Sprintf("%s is %s and not %s", a, described(status.State), c.For), nil
		}
	}
	return "", nil
}

func (c *waitCmd) holds(i planner.Instance) bool {
	if c.For == "stopped" {
		return i.Status.State == drivers.Stopped || i.Status.State == drivers.Absent
	}
	return i.Status.State == drivers.Running && i.Proven
}

// described is a state in a sentence.
func described(s drivers.State) string {
	if s == drivers.Unknown {
		return "in an unknown state"
	}
	return string(s)
}
