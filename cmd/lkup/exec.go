package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/ssh"
)

// dialLimit bounds the connection to a guest, not the session.
const dialLimit = 15 * time.Second

type execCmd struct {
	dirFlag
	TTY     bool     `short:"t" name:"tty" help:"Give the command a terminal."`
	VM      string   `arg:"" predictor:"vm" help:"The machine: web, web-blue or vm.web[\"blue\"]."`
	Command []string `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Run ends with the command's own exit status.
func (c *execCmd) Run(call *call) error {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return usageError{"name a command: lkup exec VM -- COMMAND"}
	}
	return session(call, c.dirFlag, c.VM, command, c.TTY)
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
	return session(call, c.dirFlag, c.VM, command, len(command) == 0 && call.TTY.In)
}

// session runs a command, or a shell, in a guest with this process's streams.
func session(call *call, flags dirFlag, name string, command []string, tty bool) error {
	r, err := reach(call.Host, flags, name)
	if err != nil {
		return err
	}
	conn, err := dial(call, r)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := ssh.Command{Args: command, Stdin: call.In, Stdout: call.Out, Stderr: call.Err}
	if tty {
		restore, terminal, err := takeTerminal(call.Host)
		if err != nil {
			return err
		}
		defer restore()
		request.TTY = terminal
	}
	status, err := conn.Exec(call.ctx, request)
	if err != nil {
		return fmt.Errorf("run %s in %s: %w", strings.Join(command, " "), r.instance.Address, err)
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
	if !r.instance.Guest {
		return nil, fmt.Errorf("%s runs an image without lkup's init, which takes no key; try: lkup console %s", address, r.instance.Applied.Name)
	}
	status, err := r.driver.Status(call.ctx, r.machine)
	if err != nil {
		return nil, err
	}
	if status.State != drivers.Running {
		return nil, fmt.Errorf("%s is %s; type lkup apply to start it", address, status.State)
	}
	ctx, cancel := context.WithTimeout(call.ctx, dialLimit)
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
		if !r.instance.Guest {
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
