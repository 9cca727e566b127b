package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

// exitUnapplied is the status of a review whose changes nobody agreed to.
const exitUnapplied = 2

// reviewed has an agent work in a machine of its own that sees a copy of the
// project, which is taken down again, and brings back what its user agrees to.
// It ends with the agent's exit status.
func (c *devAgentRunCmd) reviewed(call *call, p *project, like spec.Address, a spec.Agent, work func(spec.Address) error) error {
	dir := p.paths.Review(a.Name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	lock := flock.New(dir+".lock", flock.SetPermissions(0o600))
	if free, err := lock.TryLock(); err != nil || !free {
		return errors.Join(err, fmt.Errorf("another review of agent %s is under way; end that first", a.Name))
	}
	defer func() { _ = lock.Unlock() }() // it goes with this process, too
	machine := like + "-review"
	if err := c.takeDown(call, p, machine); err != nil { // left by one that was killed
		return err
	}
	v, err := p.reviewOf(call.ctx, dir, machine, p.stack.VMs[like])
	if err != nil {
		return err
	}
	worked := work(machine)
	after := *call
	after.ctx = context.WithoutCancel(call.ctx) // what was done is not lost by Ctrl-C
	after.In = c.keys.until(after.ctx)
	if err := c.takeDown(&after, p, machine); err != nil {
		return errors.Join(worked, err)
	}
	brought := c.bringBack(&after, v, call.ctx.Err() == nil)
	var status exitError
	if brought != nil && (worked == nil || errors.As(worked, &status)) {
		return brought
	}
	return worked
}

// reviewOf copies the project, and adds a machine that sees the copy to the
// stack as this process sees it.
func (p *project) reviewOf(ctx context.Context, dir string, machine spec.Address, like spec.VM) (*review, error) {
	at := slices.IndexFunc(like.Shares, func(s spec.Share) bool { return s.Guest == spec.DevenvProject })
	if at < 0 {
		return nil, fmt.Errorf("%s does not see the project", like.Address)
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	original := like.Shares[at].Host
	if !filepath.IsAbs(original) {
		original = filepath.Join(p.dir, original)
	}
	v, err := newReview(ctx, dir, original, like.Shares[at].Protected())
	if err != nil {
		return nil, err
	}
	like.Shares = slices.Clone(like.Shares)
	like.Shares[at].Host = v.copy()
	like.Mounts = nil // what is installed for the agent is the other machine's, and is installed in this one too
	like.Address, like.Name, like.Origins = machine, like.Name+"-review", maps.Clone(like.Origins)
	p.stack.VMs[machine] = like
	return v, nil
}

// takeDown removes the machine of a review, if it is there.
func (c *devAgentRunCmd) takeDown(call *call, p *project, machine spec.Address) error {
	known, err := state.Read(p.paths)
	if err != nil {
		return err
	}
	if _, there := known.Instances[machine]; !there {
		return nil
	}
	quiet := *call
	quiet.Out, quiet.TTY.Out = call.Err, call.TTY.Err
	down := downCmd{dirFlag: dirFlag{Dir: p.dir}, Target: []spec.Address{machine}}
	down.AutoApprove, down.Parallelism, down.LockTimeout.Duration = true, 8, devLockLimit
	return down.Run(&quiet)
}

// bringBack shows what was changed in the copy, and does the same to the
// project if that is agreed to.
func (c *devAgentRunCmd) bringBack(call *call, v *review, mayAsk bool) error {
	found, err := v.changes(call.ctx)
	if err != nil {
		return fmt.Errorf("compare the agent's copy with the project: %w; it is still in %s", err, v.copy())
	}
	for _, name := range found.kept {
		fmt.Fprintf(call.Err, "Not brought back, because it is protected: %s\n", view.Clean(name))
	}
	if len(found.patch) == 0 {
		fmt.Fprintln(call.Err, "Nothing is changed in the project.")
		return os.RemoveAll(v.dir)
	}
	if err := view.Diff(call.Out, call.outStyle(), found.text); err != nil {
		return err
	}
	if err := state.WriteFile(v.patchFile(), found.patch, 0o600); err != nil {
		return err
	}
	if !c.Yes {
		err := errRefused
		if mayAsk && call.TTY.In {
			err = confirm(call, "this changes "+v.original)
		}
		if err != nil {
			fmt.Fprintf(call.Err, "Nothing of this is in the project. To bring it back, type: %s\n", v.bringing())
		}
		if errors.Is(err, errRefused) {
			return exitError(exitUnapplied)
		}
		if err != nil {
			return err
		}
	}
	if err := v.apply(call.ctx, found); err != nil {
		return fmt.Errorf("the project has changed since the agent was given its copy, so nothing was brought back: %w; the changes are in %s", err, v.patchFile())
	}
	fmt.Fprintf(call.Err, "Brought back to %s.\n", v.original)
	return os.RemoveAll(v.dir)
}
