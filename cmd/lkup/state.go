package main

import (
	"crypto/rand"
	"fmt"
	"os"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

type stateCmd struct {
	List    stateListCmd    `cmd:"" help:"List the machines and volumes that the state knows."`
	Show    stateShowCmd    `cmd:"" help:"Show what the state knows of one of them."`
	Mv      stateMvCmd      `cmd:"" help:"Give a machine, a volume, or all of a block or module, another address."`
	Rm      stateRmCmd      `cmd:"" help:"Forget something, and leave it alone."`
	Rebuild stateRebuildCmd `cmd:"" help:"Make the state anew from what machines and volumes say of themselves."`
	Pull    statePullCmd    `cmd:"" help:"Print the state as it is, sensitive values and all."`
}

type stateListCmd struct {
	dirFlag
	JSON    bool         `name:"json" help:"Print JSON."`
	Address spec.Address `arg:"" optional:"" help:"Only this, or what is in this block or module."`
}

func (c *stateListCmd) Run(call *call) error {
	_, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	var all []spec.Address
	for _, a := range known.Addresses() {
		if c.Address == "" || c.Address.Covers(a) {
			all = append(all, a)
		}
	}
	if c.JSON {
		return view.AddressesJSON(call.Out, all)
	}
	for _, a := range all {
		fmt.Fprintln(call.Out, a)
	}
	return nil
}

type stateShowCmd struct {
	dirFlag
	JSON    bool         `name:"json" help:"Print JSON."`
	Address spec.Address `arg:"" help:"The address of a machine or a volume."`
}

func (c *stateShowCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	if i, found := known.Instances[c.Address]; found {
		row := view.StateRow{ID: i.ID, Driver: i.Driver, Digest: i.Digest, AppliedAt: i.AppliedAt, Dir: paths.Instance(i.ID), VM: &i.Applied}
		return view.State(call.Out, call.outStyle(), row, c.JSON)
	}
	if v, found := known.Volumes[c.Address]; found {
		row := view.StateRow{ID: v.ID, Format: v.Format, AppliedAt: v.CreatedAt, Dir: paths.Volume(v.ID), Volume: v.Address}
		return view.State(call.Out, call.outStyle(), row, c.JSON)
	}
	return notInState(c.Address, known)
}

func notInState(a spec.Address, known state.State) error {
	return usageError{fmt.Sprintf("the state of stack %s has no %s; lkup state list lists what it has", known.Stack, a)}
}

// change opens the state for a change by hand, behind a backup.
func change(call *call, dir dirFlag, lock lockFlags, command string, f func(*state.Store, layout.Stack) error) error {
	paths, known, err := applied(call.Host, dir)
	if err != nil {
		return err
	}
	store, err := lockStack(call, paths, known.Stack, known.Project, command, lock)
	if err != nil {
		return err
	}
	defer store.Close()
	backup, err := store.Backup()
	if err != nil {
		return fmt.Errorf("make a backup: %w", err)
	}
	if err := f(store, paths); err != nil {
		return err
	}
	fmt.Fprintf(call.Err, "The state as it was before: %s\n", backup)
	return nil
}

type stateMvCmd struct {
	dirFlag
	lockFlags
	From spec.Address `arg:"" help:"The address now."`
	To   spec.Address `arg:"" help:"The new address."`
}

func (c *stateMvCmd) Run(call *call) error {
	if c.From.Kind() != c.To.Kind() {
		return usageError{fmt.Sprintf("%s is a %s, and %s would be a %s; write %s.NAME", c.From, c.From.Kind(), c.To, c.To.Kind(), c.From.Kind())}
	}
	return change(call, c.dirFlag, c.lockFlags, "state mv", func(store *state.Store, _ layout.Stack) error {
		known := store.State()
		moves := map[spec.Address]spec.Address{}
		for _, a := range known.Addresses() {
			if c.From.Covers(a) {
				moves[a] = c.To + a[len(c.From):]
			}
		}
		if len(moves) == 0 {
			return notInState(c.From, known)
		}
		for _, from := range sortedKeys(moves) {
			to := moves[from]
			if _, taken := known.Instances[to]; taken {
				return fmt.Errorf("there is a %s already; forget it first with: lkup state rm '%s'", to, to)
			}
			move := store.Move
			if from.Kind() == "volume" {
				move = store.MoveVolume
			}
			if err := move(from, to); err != nil {
				return err
			}
			fmt.Fprintf(call.Out, "%s is now %s\n", from, to)
		}
		return nil
	})
}

type stateRmCmd struct {
	dirFlag
	lockFlags
	Address []spec.Address `arg:"" help:"What to forget; all of a block or module by its address."`
}

func (c *stateRmCmd) Run(call *call) error {
	return change(call, c.dirFlag, c.lockFlags, "state rm", func(store *state.Store, paths layout.Stack) error {
		known := store.State()
		for _, wanted := range c.Address {
			found := false
			for _, a := range known.Addresses() {
				if !wanted.Covers(a) {
					continue
				}
				found = true
				if err := forget(call, store, paths, a, known); err != nil {
					return err
				}
			}
			if !found {
				return notInState(wanted, known)
			}
		}
		return nil
	})
}

// forget lets something go and says where it stays.
func forget(call *call, store *state.Store, paths layout.Stack, a spec.Address, known state.State) error {
	if v, found := known.Volumes[a]; found {
		for _, i := range known.Instances {
			if _, mounts := i.Volumes[a]; mounts {
				return fmt.Errorf("%s has %s; forget that first, or take the mount out and apply", i.Address, a)
			}
		}
		fmt.Fprintf(call.Out, "%s is forgotten; its disk stays: %s\n", a, paths.Volume(v.ID))
		return store.ReleaseVolume(a)
	}
	i := known.Instances[a]
	fmt.Fprintf(call.Out, "%s is forgotten; its machine stays as it is: %s\nTo adopt it again, write: import { to = %s, from = %q }\n", a, paths.Instance(i.ID), a, i.ID)
	return store.Release(a)
}

type stateRebuildCmd struct {
	stackFlags
	lockFlags
}

// Run reads the stack files for the stack's name alone.
func (c *stateRebuildCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	store, err := state.Lock(call.ctx, p.paths, state.Owner{
		Stack: p.stack.Name, Project: p.dir, Rand: rand.Reader, Timeout: c.LockTimeout.Duration, Rebuild: true,
		Holder: state.Holder{PID: os.Getpid(), Command: "lkup state rebuild", Since: call.Now()},
	})
	if err != nil {
		return err
	}
	defer store.Close()
	known := store.State()
	for _, a := range known.Addresses() {
		fmt.Fprintln(call.Out, a)
	}
	fmt.Fprintf(call.Err, "Rebuilt from their manifests: %s, %s. Outputs come back with the next apply.\n",
		view.Count(len(known.Instances), "machine"), view.Count(len(known.Volumes), "volume"))
	return nil
}

type statePullCmd struct {
	dirFlag
}

func (c *statePullCmd) Run(call *call) error {
	paths, _, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(paths.StateFile())
	if err != nil {
		return err
	}
	_, err = call.Out.Write(content)
	return err
}
