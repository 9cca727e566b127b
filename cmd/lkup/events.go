package main

import (
	"slices"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type eventsCmd struct {
	dirFlag
	JSON   bool         `name:"json" help:"Print JSON, an object a line."`
	Follow bool         `short:"f" help:"Go on as things happen, until Ctrl-C."`
	Since  durationFlag `name:"since" placeholder:"DURATION" help:"Leave out what is older, such as 10m."`
	Tail   int          `short:"n" name:"tail" default:"-1" placeholder:"N" help:"Show the last N of what has happened."`
	VMs    []string     `arg:"" optional:"" name:"vm" predictor:"vm" help:"Machines; all of them by default, also those that are gone."`
}

// Run shows what lkup did to machines, and what they did themselves.
func (c *eventsCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	var only []spec.Address
	if len(c.VMs) > 0 {
		if only, err = meant(known, c.VMs); err != nil {
			return err
		}
	}
	read := state.OpenHappenings(paths)
	defer read.Close()
	all, err := read.Next()
	if err != nil {
		return err
	}
	wanted := func(h state.Happening) bool { return len(only) == 0 || slices.Contains(only, h.Address) }
	if c.Since.Duration > 0 {
		oldest := call.Now().Add(-c.Since.Duration)
		all = slices.DeleteFunc(all, func(h state.Happening) bool { return h.Time.Before(oldest) })
	}
	all = slices.DeleteFunc(all, func(h state.Happening) bool { return !wanted(h) })
	if c.Tail >= 0 && len(all) > c.Tail {
		all = all[len(all)-c.Tail:]
	}
	show := view.Happenings(call.Out, call.outStyle(), c.JSON)
	if err := c.show(show, all); err != nil || !c.Follow {
		return err
	}
	seen := endings{call: call, paths: paths}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-call.ctx.Done():
			over = true // Ctrl-C is how one leaves
		case <-tick.C:
		}
		more, err := read.Next()
		if err != nil {
			return err
		}
		more = slices.DeleteFunc(append(more, seen.look()...), func(h state.Happening) bool { return !wanted(h) })
		if err := c.show(show, more); err != nil {
			return err
		}
	}
	return nil
}

func (c *eventsCmd) show(show func(view.Happening) error, all []state.Happening) error {
	for _, h := range all {
		if err := show(view.Happening(h)); err != nil {
			return err
		}
	}
	return nil
}

// endings finds machines that ended by themselves and that no supervisor
// watches: it would tell of them.
type endings struct {
	call  *call
	paths layout.Stack
	ended map[spec.Address]int // looks in a row that saw it ended
	// stalled are those that a disk has paused; looks counts.
	stalled map[spec.Address]bool
	looks   int
}

// sureAfter is how many looks must agree: between the two halves of a restart a
// machine is down too.
const sureAfter = 4

func (e *endings) look() []state.Happening {
	known, err := state.Read(e.paths)
	if err != nil {
		return nil // the next look may read it
	}
	before := e.ended
	e.ended = map[spec.Address]int{}
	all := allDrivers(e.call.Host)
	found := e.stalls(known, all)
	for _, a := range sortedKeys(known.Instances) {
		i := known.Instances[a]
		ender, able := all[i.Driver].(drivers.Ender)
		if !able || supervised(i) || i.Halted || !i.Created || !i.Applied.Running || i.Proven.PID == 0 {
			continue
		}
		ending, err := ender.Ended(e.call.ctx, reconciler.Machine(i, e.paths, known.Project))
		if err != nil || ending == drivers.NotEnded {
			continue
		}
		if e.ended[a] = before[a] + 1; e.ended[a] == sureAfter {
			found = append(found, state.Happening{Time: e.call.Now().UTC(), Address: a, ID: i.ID, Kind: string(ending)})
		}
	}
	return found
}

// stalls finds machines that a disk of the host has paused. That asks their
// hypervisors, and so is done less often.
func (e *endings) stalls(known state.State, all map[string]drivers.Driver) []state.Happening {
	if e.looks++; e.looks%sureAfter != 0 {
		return nil
	}
	before := e.stalled
	e.stalled = map[spec.Address]bool{}
	var found []state.Happening
	for _, a := range sortedKeys(known.Instances) {
		i := known.Instances[a]
		driver, there := all[i.Driver]
		if !there || !i.Created || !i.Applied.Running {
			continue
		}
		status, err := driver.Status(e.call.ctx, reconciler.Machine(i, e.paths, known.Project))
		if err != nil || !status.Stalled {
			continue
		}
		if e.stalled[a] = true; !before[a] {
			found = append(found, state.Happening{Time: e.call.Now().UTC(), Address: a, ID: i.ID, Kind: "stalled", Detail: status.Detail})
		}
	}
	return found
}
