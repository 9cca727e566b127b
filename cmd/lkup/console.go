package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/lkup/lkup/drivers"
)

type consoleCmd struct {
	dirFlag
	VM        string `arg:"" predictor:"vm" help:"The machine: web, web-blue or vm.web[\"blue\"]."`
	DetachKey string `name:"detach-key" default:"ctrl-]" placeholder:"KEY" help:"The key that leaves the console: ctrl-] and the like."`
}

// Run attaches until the person detaches or the machine ends.
func (c *consoleCmd) Run(call *call) error {
	key, err := controlKey(c.DetachKey)
	if err != nil {
		return err
	}
	r, err := reach(call.Host, c.dirFlag, c.VM)
	if err != nil {
		return err
	}
	consoler, able := r.driver.(drivers.Consoler)
	if !able {
		return fmt.Errorf("driver %s has no console to attach to; see lkup logs %s", r.instance.Driver, c.VM)
	}
	conn, err := consoler.Console(call.ctx, r.machine)
	if err != nil {
		return fmt.Errorf("attach to the console of %s: %w", r.instance.Address, err)
	}
	defer conn.Close()
	fmt.Fprintf(call.Err, "Attached to %s. Press %s to leave.\r\n", r.instance.Address, c.DetachKey)
	if in, isFile := call.In.(*os.File); isFile && term.IsTerminal(int(in.Fd())) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return fmt.Errorf("take the terminal: %w", err)
		}
		defer func() { _ = term.Restore(int(in.Fd()), old) }() // there is nothing else to try
	}
	return attach(call, conn, key)
}

// attach copies both ways until either side ends. The guest's output goes to
// the terminal as it is: that is what a console is for.
func attach(call *call, conn io.ReadWriter, detach byte) error {
	over := make(chan error, 2)
	go func() {
		_, err := io.Copy(call.Out, conn)
		over <- err
	}()
	go func() {
		if err := copyUntil(conn, call.In, detach); err != nil {
			over <- err
		} else if call.TTY.In {
			over <- nil
		} // else the input is over, and the output goes on
	}()
	select {
	case err := <-over:
		return err
	case <-call.ctx.Done():
		return call.ctx.Err()
	}
}

// copyUntil copies until the input ends or has the byte stop.
func copyUntil(w io.Writer, r io.Reader, stop byte) error {
	buffer := make([]byte, 1024)
	for {
		n, err := r.Read(buffer)
		typed, _, stopped := bytes.Cut(buffer[:n], []byte{stop})
		if _, err := w.Write(typed); err != nil {
			return err
		}
		if stopped {
			return errDetached
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// errDetached ends a console without being an error.
var errDetached = exitError(exitOK)

// controlKey reads ctrl-a to ctrl-z, ctrl-], ctrl-\, ctrl-^ and ctrl-_.
func controlKey(name string) (byte, error) {
	if len(name) == 6 && name[:5] == "ctrl-" {
		switch c := name[5]; {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 1, nil
		case c >= '\\' && c <= '_':
			return c - '@', nil
		}
	}
	return 0, usageError{fmt.Sprintf("--detach-key %q is no control key; write ctrl-a to ctrl-z, or ctrl-]", name)}
}
