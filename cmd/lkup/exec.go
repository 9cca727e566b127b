package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
)

// dialLimit bounds the connection to a guest, not the session.
const dialLimit = 30 * time.Second

type execCmd struct {
	dirFlag
	TTY     bool     `short:"t" name:"tty" help:"Give the command a terminal."`
	VM      string   `arg:"" predictor:"vm" help:"The machine: web, web-blue or vm.web[\"blue\"]; vm.web is all of its instances."`
	Command []string `arg:"" passthrough:"" help:"More machines, if any; then --, the command and its arguments."`
}

// Run ends with the command's own exit status; of several machines, with the
// greatest.
func (c *execCmd) Run(call *call) error {
	names, command := c.words()
	if len(command) == 0 {
		return usageError{"name a command: lkup exec VM -- COMMAND"}
	}
	machines, err := several(call.Host, c.dirFlag, names)
	if err != nil {
		return err
	}
	if len(machines) == 1 {
		return session(call, machines[0], command, c.TTY)
	}
	if c.TTY {
		return usageError{"a terminal is for one machine; take out -t, or name one"}
	}
	return everywhere(call, machines, command)
}

// words takes apart machines and command: what stands before -- are machines.
func (c *execCmd) words() (machines, command []string) {
	if at := slices.Index(c.Command, "--"); at >= 0 {
		return append([]string{c.VM}, c.Command[:at]...), c.Command[at+1:]
	}
	return []string{c.VM}, c.Command
}

// mostSessions is how many guests a command runs in at once.
const mostSessions = 32

// everywhere runs a command in several guests at once, without input. What they
// write stands behind their names.
func everywhere(call *call, machines []reached, command []string) error {
	names := make([]string, len(machines))
	for i, m := range machines {
		names[i] = m.instance.Applied.Name
	}
	outs := view.Prefixed(call.Out, call.outStyle(), names)
	errs := view.Prefixed(call.Err, call.errStyle(), names)
	statuses, failures := make([]int, len(machines)), make([]error, len(machines))
	var group errgroup.Group
	group.SetLimit(mostSessions)
	for i, m := range machines {
		group.Go(func() error {
			statuses[i], failures[i] = inGuest(call, m, ssh.Command{Args: command, Stdout: outs[i], Stderr: errs[i]})
			failures[i] = errors.Join(failures[i], outs[i].Flush(), errs[i].Flush())
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if status := slices.Max(statuses); status != 0 {
		return exitError(status)
	}
	return nil
}

// inGuest runs a command in a guest.
func inGuest(call *call, r reached, command ssh.Command) (int, error) {
	conn, err := dial(call, r)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	status, err := conn.Exec(call.ctx, command)
	if err != nil {
		return 0, fmt.Errorf("run %s in %s: %w", strings.Join(command.Args, " "), r.instance.Address, err)
	}
	return status, nil
}

type sshCmd struct {
	dirFlag
	VM      string   `arg:"" predictor:"vm" help:"The machine: web, web-blue or vm.web[\"blue\"]."`
	Command []string `arg:"" optional:"" passthrough:"" help:"A command to run instead of a shell."`
}

func (c *sshCmd) Run(call *call) error {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	r, err := reach(call.Host, c.dirFlag, c.VM)
	if err != nil {
		return err
	}
	return session(call, r, command, len(command) == 0 && call.TTY.In)
}

// session runs a command, or a shell, in a guest with this process's streams.
func session(call *call, r reached, command []string, tty bool) error {
	request := ssh.Command{Args: command, Stdin: call.In, Stdout: call.Out, Stderr: call.Err}
	if tty {
		restore, terminal, err := takeTerminal(call.Host)
		if err != nil {
			return err
		}
		defer restore()
		request.TTY = terminal
	}
	status, err := inGuest(call, r, request)
	if err != nil {
		return err
	}
	if status != 0 {
		return exitError(status)
	}
	return nil
}

// dial connects to an instance's SSH server, and says what to type if it
// cannot be there.
func dial(call *call, r reached) (*ssh.Conn, error) {
	address := r.instance.Address
	if !r.instance.Enterable() {
		return nil, fmt.Errorf("%s runs an image that takes no key of lkup's; write a seed or an ssh block in its vm, or try: lkup console %s", address, r.instance.Applied.Name)
	}
	status, err := r.driver.Status(call.ctx, r.machine)
	if err != nil {
		return nil, err
	}
	if status.State != drivers.Running {
		return nil, fmt.Errorf("%s is %s; type lkup apply to start it", address, status.State)
	}
	ctx, cancel := context.WithTimeoutCause(call.ctx, dialLimit, fmt.Errorf("it does not answer within %s", dialLimit))
	defer cancel()
	conn, err := ssh.Connect(ctx, r.machine)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w; its console may say why: lkup logs %s", address, err, r.instance.Applied.Name)
	}
	return conn, nil
}

// takeTerminal puts the terminal into raw mode until restore is called, and
// follows its size.
func takeTerminal(host Host) (restore func(), terminal *ssh.TTY, err error) {
	in, isFile := host.In.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		// A terminal for the guest alone: its output is for a program here.
		return func() {}, &ssh.TTY{Term: "dumb", Width: 80, Height: 24}, nil
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, nil, fmt.Errorf("take the terminal: %w", err)
	}
	width, height, err := term.GetSize(int(in.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	sizes, over := make(chan ssh.Size, 1), make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-resized:
				if w, h, err := term.GetSize(int(in.Fd())); err == nil {
					sizes <- ssh.Size{Width: w, Height: h}
				}
			}
		}
	}()
	restore = func() {
		signal.Stop(resized)
		close(over)
		_ = term.Restore(int(in.Fd()), old) // there is nothing else to try
	}
	return restore, &ssh.TTY{Term: host.Getenv("TERM"), Width: width, Height: height, Resize: sizes}, nil
}

type sshConfigCmd struct {
	dirFlag
	VMs []string `arg:"" optional:"" name:"vm" predictor:"vm" help:"Machines; all of them by default."`
}

// Run prints what ssh -F, or an Include in ~/.ssh/config, understands.
func (c *sshConfigCmd) Run(call *call) error {
	machines, err := several(call.Host, c.dirFlag, c.VMs)
	if err != nil {
		return err
	}
	printed := false
	for _, r := range machines {
		if !r.instance.Enterable() {
			continue
		}
		stanza, err := ssh.Config(r.machine, r.instance.Applied.Name)
		if err != nil {
			return err
		}
		fmt.Fprint(call.Out, stanza)
		printed = true
	}
	if !printed {
		return errors.New("none of these machines takes lkup's key")
	}
	return nil
}
