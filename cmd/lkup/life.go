package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// lifeFlags are shared by the commands that stop and start machines as they
// were applied.
type lifeFlags struct {
	lockFlags
	JSON        bool     `name:"json" help:"Print events as JSON, one a line."`
	Parallelism int      `name:"parallelism" placeholder:"N" default:"8" help:"Work on so many machines at once."`
	VMs         []string `arg:"" optional:"" name:"vm" predictor:"vm" help:"Machines; all of the stack by default."`
}

func (c lifeFlags) apply() *applyFlags { return &applyFlags{JSON: c.JSON, Parallelism: c.Parallelism} }

// graceFlag overrules what the machines say.
type graceFlag struct {
	Grace *durationFlag `name:"grace" placeholder:"DURATION" help:"How long guests have to power off by themselves. By default what their stop_grace_period says, or 20s."`
}

func (f graceFlag) grace() *time.Duration {
	if f.Grace == nil {
		return nil
	}
	return &f.Grace.Duration
}

// life is a stack, locked, and the machines that a command is about.
type life struct {
	call   *call
	paths  layout.Stack
	store  *state.Store
	known  state.State
	chosen []spec.Address
}

// begin takes the stack's lock. Its store must be closed.
func (c lifeFlags) begin(call *call, dir dirFlag, command string) (*life, error) {
	paths, known, err := applied(call.Host, dir)
	if err != nil {
		return nil, err
	}
	if _, err := meant(known, c.VMs); err != nil { // before anything is waited for
		return nil, err
	}
	store, err := lockStack(call, paths, known.Stack, known.Project, command, c.lockFlags)
	if err != nil {
		return nil, err
	}
	known = store.State()
	chosen, err := meant(known, c.VMs)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &life{call: call, paths: paths, store: store, known: known, chosen: chosen}, nil
}

type stopCmd struct {
	dirFlag
	lifeFlags
	graceFlag
}

// Run stops machines, those first that depend on others, and leaves the record
// as it is: the next apply starts them again.
func (c *stopCmd) Run(call *call) error {
	l, err := c.begin(call, c.dirFlag, "stop")
	if err != nil {
		return err
	}
	defer l.store.Close()
	now, err := reconciler.Observe(call.ctx, l.known, l.paths, allDrivers(call.Host))
	if err != nil {
		return err
	}
	plan, err := l.halt(now)
	if err != nil || plan.Empty() {
		return err
	}
	r := newReconciler(call.Host, l.paths, l.known.Project, nil, l.store)
	r.Grace = c.grace()
	return c.apply().carryOut(call, execution{reconciler: r, plan: plan, with: reconciler.Materials{Halt: true}})
}

// halt plans to stop the chosen machines that run. The others are recorded not
// to be started by themselves.
func (l *life) halt(now planner.Inventory) (*planner.Plan, error) {
	input := generationInput(l.call.Host, l.known.Generation())
	stack := &spec.Stack{Name: l.known.Stack, VMs: map[spec.Address]spec.VM{}}
	input.Inventory = planner.Inventory{}
	for _, a := range l.chosen {
		if state := now[a].Status.State; state != drivers.Stopped && state != drivers.Absent {
			vm := input.Stack.VMs[a]
			vm.Running = false
			stack.VMs[a], input.Inventory[a] = vm, now[a]
			continue
		}
		i := l.known.Instances[a]
		if i.Halted || !i.Created {
			continue
		}
		i.Halted = true
		if err := l.store.Put(i); err != nil {
			return nil, err
		}
	}
	input.Stack = stack
	plan := planner.New(input)
	plan.Volumes, plan.Outputs = nil, nil
	if blocked := plan.Blocked(); len(blocked) > 0 {
		return nil, fmt.Errorf("%s cannot be stopped: %s", blocked[0], now[blocked[0]].Status.Detail)
	}
	return plan, nil
}

type startCmd struct {
	stackFlags
	lifeFlags
}

// Run starts machines as they were applied, and what they depend on.
func (c *startCmd) Run(call *call) error { return c.start(call, c.stackFlags, "start", false, nil) }

type restartCmd struct {
	stackFlags
	lifeFlags
	graceFlag
}

// Run stops machines and starts them again, as they were applied.
func (c *restartCmd) Run(call *call) error {
	return c.start(call, c.stackFlags, "restart", true, c.grace())
}

func (c lifeFlags) start(call *call, flags stackFlags, command string, restart bool, grace *time.Duration) (err error) {
	l, err := c.begin(call, flags.dirFlag, command)
	if err != nil {
		return err
	}
	defer l.store.Close()
	defer func() { err = errors.Join(err, ensureSupervisor(call.Host, l.paths, l.store.State(), flags)) }()
	for _, group := range bySources(l.known, l.chosen) {
		s := startApplied{call: call, flags: flags, paths: l.paths, store: l.store, addresses: group, asked: true, grace: grace}
		if restart {
			s.restart = group
		}
		if err := s.run(call.ctx, c.apply()); err != nil {
			return err
		}
	}
	return nil
}

// startApplied starts machines by a plan from what the state says: what the
// stack files say meanwhile is for the next apply.
type startApplied struct {
	call      *call
	flags     stackFlags // by which the stack's secrets are found
	paths     layout.Stack
	store     *state.Store
	addresses []spec.Address
	restart   []spec.Address // of those, the ones to stop first if they run
	grace     *time.Duration // for those, whatever they say themselves
	asked     bool           // also those that were applied not to run
}

func (s startApplied) run(ctx context.Context, flags *applyFlags) error {
	plan, with, r, closeAll, err := s.plan(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	if blocked := plan.Blocked(); len(blocked) > 0 {
		for _, step := range plan.Steps {
			if step.Address == blocked[0] {
				return fmt.Errorf("%s cannot be started: %s", step.Address, step.Blocked)
			}
		}
	}
	if len(plan.Ops) == 0 {
		return nil
	}
	return flags.carryOut(s.call, execution{reconciler: r, plan: plan, with: with})
}

// plan gives the plan and what it takes to carry it out; closeAll ends that.
func (s startApplied) plan(ctx context.Context) (*planner.Plan, reconciler.Materials, *reconciler.Reconciler, func(), error) {
	var with reconciler.Materials
	now := s.store.State()
	g := now.Generation()
	input := generationInput(s.call.Host, g)
	if err := fillSecrets(s.call, s.flags, "the state", input.Stack, now); err != nil {
		return nil, with, nil, nil, err
	}
	for _, a := range s.addresses {
		if vm := input.Stack.VMs[a]; s.asked {
			vm.Running = true
			input.Stack.VMs[a] = vm
		}
	}
	var err error
	if input.Inventory, err = reconciler.Observe(ctx, now, s.paths, allDrivers(s.call.Host)); err != nil {
		return nil, with, nil, nil, err
	}
	input.Outputs, input.Volumes, input.Targets = now.Outputs, volumeSizes(s.paths, now), s.addresses
	input.Restart = s.restart
	images, err := newImageSources(s.call.Host, now.Project)
	if err != nil {
		return nil, with, nil, nil, err
	}
	_, _, recipes := g.Digests()
	with = reconciler.Materials{
		Images: input.Stack.Images, Volumes: input.Stack.Volumes, Recipes: recipes,
		Sources: now.Sources[now.Instances[s.addresses[0]].Sources],
	}
	r := newReconciler(s.call.Host, s.paths, now.Project, images, s.store)
	r.Grace = s.grace
	return planner.New(input), with, r, images.close, nil
}
