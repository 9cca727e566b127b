package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

// ExitError is a QEMU that ended while it started.
type ExitError struct {
	Err     error  // how it ended
	Said    string // what it wrote
	Command string // what was run, quoted for a POSIX shell
}

func (e *ExitError) Error() string {
	how := "without an error"
	if e.Err != nil {
		how = "with " + e.Err.Error()
	}
	if e.Said == "" {
		return "QEMU ended at once, " + how + ", and said nothing"
	}
	return "QEMU ended at once, " + how + ":\n" + indent(e.Said)
}

// Unwrap gives how it ended.
func (e *ExitError) Unwrap() error { return e.Err }

// The descriptors that QEMU inherits: the first file after the standard three
// is 3. The lock is nothing to QEMU; it is freed when QEMU ends.
const (
	firstDescriptor   = 3
	monitorDescriptor = 4
	consoleDescriptor = 5
	memoryDescriptor  = 6
)

// spawn starts the process and waits until its monitor answers, which it does
// once everything of the machine is there. With memory, a file that Save
// wrote, it does not boot.
func (d *Driver) spawn(ctx context.Context, program string, m drivers.Machine, h host, memory *os.File) error {
	files, said, err := open(m)
	if err != nil {
		return local.Full(err, m.Dir)
	}
	defer closeAll(append(files, said)) // QEMU has its own
	h.monitor, h.console = monitorDescriptor, consoleDescriptor
	if len(m.Boot.Seed) > 0 {
		h.initrd = seededPath(m)
	}
	if memory != nil {
		h.incoming = memoryDescriptor
	}
	inherited := slices.Clone(files)
	if memory != nil {
		inherited = append(inherited, memory)
	}
	shares, err := d.serve(m)
	if err != nil {
		return err
	}
	defer closeAll(shares)
	daemons, err := d.serveVirtiofs(m)
	if err != nil {
		return err
	}
	defer closeAll(daemons)
	h.shares = firstDescriptor + len(inherited)
	h.virtiofs = h.shares + len(shares)
	cmd := exec.Command(program, args(m, h)...)
	cmd.ExtraFiles = slices.Concat(inherited, shares, daemons)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Dir = m.Dir
	cmd.Env = append([]string{}, d.settings.Env...) // not nil, which would be all of ours
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return &ExitError{Err: err, Command: d.CommandLine(m)}
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // reaps QEMU, whenever it ends; else it ends with this process
	c := child{Cmd: cmd, m: m, exited: exited, command: d.CommandLine(m)}
	return c.await(ctx)
}

// open makes the files that QEMU inherits, all of them private, in the order
// of their descriptors, and the one that it writes its messages to.
func open(m drivers.Machine) (files []*os.File, said *os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	lock, err := local.Lock(lockPath(m))
	if err != nil {
		return nil, nil, err
	}
	files = append(files, lock)
	for _, path := range []string{monitorPath(m), consolePath(m)} {
		f, err := listen(path)
		if err != nil {
			return files, nil, err
		}
		files = append(files, f)
	}
	log, err := os.OpenFile(consoleLog(m), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return files, nil, err
	}
	if err := log.Close(); err != nil { // QEMU opens it itself, and would not make it private
		return files, nil, err
	}
	said, err = os.OpenFile(sayingsPath(m), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	return files, said, err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written through it
	}
}

// listen makes a socket that only this user may connect to.
func listen(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := local.Remove(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	return l.File()
}

// child is a QEMU just started.
type child struct {
	*exec.Cmd
	m       drivers.Machine
	exited  <-chan error
	command string
}

// startLimit is how long QEMU may take to set up a machine. It takes some
// 50 ms on an idle host.
const startLimit = time.Minute

// await records the process, so that others see it, and waits until it is
// ready. A ctx that ends leaves it running.
func (c child) await(ctx context.Context) error {
	i, err := process.Of(c.Process.Pid, mark(c.m))
	if errors.Is(err, process.ErrGone) {
		return c.died(<-c.exited)
	}
	if err != nil {
		return c.kill(err)
	}
	if err := record(c.m, run{Identity: i, Started: time.Now().UTC().Round(0)}); err != nil {
		return c.kill(err)
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := askLong(limited, monitorPath(c.m), "query-status")
		answered <- err
	}()
	select {
	case err := <-c.exited:
		cancel()
		_ = <-answered // QEMU's own words say more
		return c.died(err)
	case err = <-answered:
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	// The monitor went away: so does the process, or else it is of no use.
	select {
	case err := <-c.exited:
		return c.died(err)
	case <-limited.Done():
	case <-time.After(settleLimit):
	}
	return c.kill(fmt.Errorf("QEMU does not answer on its monitor: %w", err))
}

// kill ends the child, which is certainly ours: nobody has reaped it.
func (c child) kill(why error) error {
	if err := c.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(why, err)
	}
	_ = <-c.exited // by that signal
	return errors.Join(why, local.Remove(runPath(c.m)))
}

// died says what QEMU said before it ended, or what is known to be the cause.
func (c child) died(how error) error {
	_ = local.Remove(runPath(c.m), monitorPath(c.m), consolePath(c.m)) // they are of no use, and do no harm
	if err := local.PortsFree(c.m); err != nil {
		return err // somebody took one just now
	}
	said, err := os.ReadFile(sayingsPath(c.m))
	if err != nil {
		said = []byte(err.Error())
	}
	if more, err := os.ReadFile(virtiofsLog(c.m)); err == nil && overVirtiofs(c.m) > 0 { // why it hung up on QEMU
		said = append(said, more...)
	}
	return &ExitError{Err: how, Said: strings.TrimSpace(string(said)), Command: c.command}
}
