package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lkup/lkup/internal/lease"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
)

// commandGrace is how long a command has to end after Ctrl-C, before it is
// killed and its stack removed.
const commandGrace = 10 * time.Second

// withStack applies the stack under a lease, runs a command of this host, and
// removes the stack, whatever happens meanwhile. It ends with the command's
// exit status.
func (c *runCmd) withStack(call *call, rest []string) error {
	command := rest
	if c.Image != "" {
		command = append([]string{c.Image}, rest...)
	}
	if len(command) == 0 {
		return usageError{"name a command: lkup run --stack -- COMMAND"}
	}
	if len(c.Env)+len(c.Port)+len(c.Share) > 0 || c.Cmdline != "" || c.TTY {
		return usageError{"-e, -p, -t, --share and --cmdline are for lkup run IMAGE; what the stack's machines have stands in its stack files"}
	}
	dir, _, err := c.project(call.Host)
	if err != nil {
		return err
	}
	if dir, err = realDir(dir); err != nil { // a lease of a lease is one of the project
		return err
	}
	held, err := lease.Take(call.Layout(), dir)
	if err != nil {
		return err
	}
	call.Host = call.under(held)
	outputs, err := c.applyLeased(call)
	if err == nil {
		err = runLeased(call, command, outputs)
	}
	var status exitError
	removed := endLease(context.WithoutCancel(call.ctx), call, held)
	if errors.As(err, &status) && removed != nil {
		view.Error(call.Err, call.errStyle(), removed)
		return err
	}
	return errors.Join(err, removed)
}

// under is the host as one who works on a leased stack sees it; so do the
// commands that run there.
func (h Host) under(held *lease.Lease) Host {
	getenv := h.Getenv
	h.Getenv = func(name string) string {
		if name == lease.Env {
			return held.Name
		}
		return getenv(name)
	}
	h.Environ = append(slices.DeleteFunc(slices.Clone(h.Environ), func(entry string) bool {
		return strings.HasPrefix(entry, lease.Env+"=")
	}), lease.Env+"="+held.Name)
	return h
}

// applyLeased makes all machines of the stack, and gives its outputs.
func (c *runCmd) applyLeased(call *call) (outputs []string, err error) {
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return nil, err
	}
	defer p.close()
	store, err := lockStack(call, p.paths, p.stack.Name, p.dir, "run --stack", lockFlags{})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	d, err := decider{host: call.Host, project: p, store: store, offline: c.Offline}.run(call.ctx)
	if err != nil {
		return nil, err
	}
	if err := (choiceFlags{}).refused(d.plan); err != nil {
		return nil, err
	}
	if err := d.images.writeLockFile(call.ctx, true); err != nil {
		return nil, err
	}
	apply := applyFlags{Parallelism: 8}
	err = apply.carryOut(call, execution{
		reconciler: newReconciler(call.Host, p.paths, p.dir, d.images, store), plan: d.plan, with: materials(p, d),
	})
	if err == nil {
		err = call.ctx.Err() // machines that were not begun are missing
	}
	if err != nil {
		return nil, err
	}
	if err := ensureSupervisor(call.Host, p.paths, store.State(), c.stackFlags); err != nil {
		return nil, err
	}
	return outputEnv(store.State())
}

// outputEnv is the outputs as an environment: a text as it is, everything else
// as JSON. No shell takes hyphens in a name, so they become underscores.
func outputEnv(known state.State) ([]string, error) {
	var all []string
	for _, name := range sortedKeys(known.Outputs) {
		text, isText := known.Outputs[name].(string)
		if !isText {
			content, err := json.Marshal(known.Outputs[name])
			if err != nil {
				return nil, fmt.Errorf("output.%s: %w", name, err)
			}
			text = string(content)
		}
		all = append(all, strings.ReplaceAll(name, "-", "_")+"="+text)
	}
	return all, nil
}

// runLeased runs a command with this process's streams. Ctrl-C on a terminal
// reaches it as it reaches lkup; elsewhere lkup passes on that it is to end.
func runLeased(call *call, command, env []string) error {
	cmd := exec.CommandContext(call.ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = call.In, call.Out, call.Err
	cmd.Env = append(slices.Clone(call.Environ), env...)
	cmd.WaitDelay = commandGrace
	cmd.Cancel = func() error {
		if call.TTY.In {
			return nil
		}
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	err := runTied(cmd)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil && call.ctx.Err() != nil {
			return exitError(exitInterrupted)
		}
		if err != nil {
			return fmt.Errorf("run %s: %w", command[0], err)
		}
		return nil
	}
	if how, ok := exit.Sys().(syscall.WaitStatus); ok && how.Signaled() {
		return exitError(128 + int(how.Signal()))
	}
	return exitError(exit.ExitCode())
}
