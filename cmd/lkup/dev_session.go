package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

// setUp runs the setup of a devenv, if the machine has not done just that. Of
// several lkups, one does it and the others wait.
func (w *workplace) setUp(call *call, r reached, conn *ssh.Conn) error {
	if len(w.env.Setup) == 0 {
		return nil
	}
	id := devenv.SetupID(w.env.Setup)
	if status, _, err := conn.Run(call.ctx, devenv.SetupDone(id)); err != nil || status == 0 {
		return err
	}
	lock := flock.New(filepath.Join(r.machine.Dir, "setup.lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(call.ctx, 100*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another setup of %s: %w", w.env.Address, err)
	}
	defer func() { _ = lock.Unlock() }() // it goes with this process, too
	if status, _, err := conn.Run(call.ctx, devenv.SetupDone(id)); err != nil || status == 0 {
		return err
	}
	for _, line := range w.env.Setup {
		fmt.Fprintf(call.Err, "Setup: %s\n", view.Clean(line))
		status, err := conn.Exec(call.ctx, ssh.Command{Args: devenv.In(spec.DevenvProject, []string{"sh", "-c", line}), Stdout: call.Err, Stderr: call.Err})
		if err != nil {
			return fmt.Errorf("set up %s: %w", w.env.Address, err)
		}
		if status != 0 {
			return fmt.Errorf("set up %s: %q ended with exit status %d; mend it, or look around with: lkup dev shell", w.env.Address, line, status)
		}
	}
	status, output, err := conn.Run(call.ctx, devenv.MarkSetup(id))
	if err == nil && status != 0 {
		err = fmt.Errorf("note that the setup was done: %s", view.Clean(string(output)))
	}
	return err
}

const (
	// projectLimit is how long a guest that answers may take to mount the project.
	projectLimit = time.Minute
	projectLook  = 100 * time.Millisecond
)

// awaitProject waits until a guest sees the project: SSH answers before that.
func awaitProject(call *call, conn *ssh.Conn) error {
	ctx, cancel := context.WithTimeout(call.ctx, projectLimit)
	defer cancel()
	for {
		status, _, err := conn.Run(ctx, []string{"grep", "-q", " " + spec.DevenvProject + " ", "/proc/mounts"})
		switch {
		case call.ctx.Err() != nil:
			return exitError(exitInterrupted)
		case ctx.Err() != nil:
			return fmt.Errorf("the guest does not mount the project at %s within %s; its console may say why: lkup logs", spec.DevenvProject, projectLimit)
		case err != nil:
			return err
		case status != 1: // it is there, or nobody can look
			return nil
		}
		pause(ctx, projectLook)
	}
}

// enter brings the machine up, connects to it and sets it up.
func (f devUpFlags) enter(call *call, w *workplace) (reached, *ssh.Conn, error) {
	r, err := f.forSession(call, w.project, w.env.Address, "lkup dev up")
	if err != nil {
		return r, nil, err
	}
	conn, err := dial(call, r)
	if err != nil {
		return r, nil, err
	}
	if err := awaitProject(call, conn); err != nil {
		return r, conn, err
	}
	return r, conn, w.setUp(call, r, conn)
}

type devShellCmd struct {
	devUpFlags
}

// Run opens a shell where one stands. It does so too if the setup fails, since
// a shell is how to find out why.
func (c *devShellCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	_, conn, err := c.enter(call, w)
	if conn == nil {
		return err
	}
	defer conn.Close()
	if err != nil {
		view.Error(call.Err, call.errStyle(), err)
	}
	return within(call, conn, ssh.Command{Args: devenv.In(w.guestDir(), w.env.Shell)}, call.TTY.In)
}

type devRunCmd struct {
	devUpFlags
	TTY     bool     `short:"t" name:"tty" help:"Give the command a terminal."`
	Command []string `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Run ends with the command's exit status.
func (c *devRunCmd) Run(call *call) error {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return usageError{"name a command: lkup dev run -- COMMAND"}
	}
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	_, conn, err := c.enter(call, w)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	err = within(call, conn, ssh.Command{Args: devenv.In(w.guestDir(), command)}, c.TTY)
	var ended exitError
	if errors.As(err, &ended) && ended == exitNoProgram {
		w.tellLacked(call, conn, w.guestDir(), command, int(ended), call.Err)
	}
	return err
}

// within runs a command in a guest with this process's streams. Ctrl-C is
// passed on to it; the second one leaves.
func within(call *call, conn *ssh.Conn, command ssh.Command, tty bool) error {
	command.Stdin, command.Stdout, command.Stderr = call.In, call.Out, call.Err
	if tty {
		restore, terminal, err := takeTerminal(call.Host)
		if err != nil {
			return err
		}
		defer restore()
		command.TTY = terminal
	}
	status, err := interruptible(call, conn, command)
	if err != nil {
		return err
	}
	if status != 0 {
		return exitError(status)
	}
	return nil
}

// interruptible runs a command. Once Ctrl-C was pressed it is told so, and has
// its own way to end; with the second one it is left. On a terminal Ctrl-C is a
// key like any other, and what ends lkup hangs up.
func interruptible(call *call, conn *ssh.Conn, command ssh.Command) (int, error) {
	ctx, leave := context.WithCancel(context.WithoutCancel(call.ctx))
	defer leave()
	signals := make(chan string, 1)
	command.Signals = signals
	stop := context.AfterFunc(call.ctx, func() {
		if command.TTY != nil {
			leave()
		}
		signals <- "INT"
	})
	defer stop()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-call.interrupts.second:
			leave()
		case <-over:
		}
	}()
	status, err := conn.Exec(ctx, command)
	if errors.Is(err, context.Canceled) {
		return exitInterrupted, nil
	}
	return status, err
}

type devStatusCmd struct {
	devFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows the rows of lkup ps that are the devenv's.
func (c *devStatusCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	rows, err := w.rows(call)
	if err != nil {
		return err
	}
	if c.JSON {
		return view.PsJSON(call.Out, rows)
	}
	if len(rows) == 0 {
		fmt.Fprintf(call.Out, "%s is not up. Type: lkup dev up\n", w.env.Address)
		return nil
	}
	return view.PsText(call.Out, call.outStyle(), rows)
}
