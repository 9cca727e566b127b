package main

import (
	"fmt"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// whyCmd says why the plan has what it has for an address.
type whyCmd struct {
	stackFlags
	JSON    bool         `name:"json" help:"Print the steps as JSON."`
	Address spec.Address `arg:"" help:"A machine, or all of a block: vm.web, vm.web[\"blue\"]."`
}

func (c *whyCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	d, err := decider{host: call.Host, project: p}.run(call.ctx)
	if err != nil {
		return err
	}
	var steps []planner.Step
	for _, s := range d.plan.Steps {
		if c.Address.Covers(s.Address) {
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		return usageError{fmt.Sprintf("%s is no machine of stack %s; lkup ps lists them, as vm.NAME", c.Address, p.stack.Name)}
	}
	if c.JSON {
		return view.PlanJSON(call.Out, &planner.Plan{Steps: steps})
	}
	return view.Why(call.Out, call.outStyle(), steps, func(s planner.Step) planner.UpToDate { return d.upToDate(s) })
}

// upToDate says since when a machine is as it should be, and what made it so.
func (d *decision) upToDate(s planner.Step) planner.UpToDate {
	return planner.UpToDate{Since: d.state.Instances[s.Address].AppliedAt, Inputs: d.inputsOf(s)}
}

// inputsOf lists what a machine's values are made from, the image first.
func (d *decision) inputsOf(s planner.Step) []string {
	if s.Want == nil {
		return nil
	}
	inputs := []string{string(s.Want.Image)}
	seen := map[string]bool{}
	var add func(keys []string)
	add = func(keys []string) {
		for _, key := range keys {
			if !seen[key] {
				seen[key] = true
				add(d.sources[key].From)
			}
		}
	}
	add(d.sources[string(s.Want.Image)].From)
	for _, at := range s.Want.Origins {
		add(d.project.stack.From[at])
	}
	return append(inputs, sortedKeys(seen)...)
}
