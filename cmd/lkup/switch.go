package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/network"
	"github.com/lkup/lkup/reconciler"
)

// needsSwitch reports whether a machine of the stack is in a network.
func needsSwitch(known state.State) bool {
	for _, i := range known.Instances {
		if switched(i) {
			return true
		}
	}
	return false
}

func switched(i state.Instance) bool { return len(i.Applied.Networks) > 0 && i.Applied.Running }

// switches are the switches of this host's stacks, each a process of its own,
// which is started when a machine needs it.
type switches struct{ host Host }

var _ drivers.Switch = switches{}

func (s switches) of(m drivers.Machine) (layout.Stack, network.Client) {
	paths := s.host.Layout().StackOf(m.Stack)
	return paths, network.Client{Path: paths.SwitchSocket()}
}

// switchLimit is how long a switch may take to answer once it is started.
const switchLimit = 10 * time.Second

// Plug starts the stack's switch if it does not run.
func (s switches) Plug(ctx context.Context, m drivers.Machine) error {
	paths, client := s.of(m)
	plugged := networkMachine(m)
	err := client.Plug(ctx, plugged)
	if !errors.Is(err, network.ErrAbsent) {
		return err
	}
	if err := spawnSwitch(s.host, paths); err != nil {
		return err
	}
	limit := time.NewTimer(switchLimit)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for errors.Is(err, network.ErrAbsent) {
		select {
		case <-tick.C:
			err = client.Plug(ctx, plugged)
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("the switch of the stack's networks does not come up; see %s", paths.SwitchLog())
		}
	}
	return err
}

// Unplug has nothing to do where no switch runs.
func (s switches) Unplug(ctx context.Context, m drivers.Machine) error {
	_, client := s.of(m)
	if err := client.Unplug(ctx, m.ID); !errors.Is(err, network.ErrAbsent) {
		return err
	}
	return nil
}

func (s switches) Ports(ctx context.Context, m drivers.Machine) ([]drivers.Port, error) {
	_, client := s.of(m)
	return client.Ports(ctx, m.ID)
}

func networkMachine(m drivers.Machine) network.Machine {
	return network.Machine{ID: m.ID, Address: string(m.Address), Name: m.Name, NICs: m.NICs, Ports: m.Ports}
}

func spawnSwitch(host Host, paths layout.Stack) error {
	if host.Program == "" {
		return errors.New("the switch of the stack's networks cannot be started, because lkup's own file is not known")
	}
	log, err := os.OpenFile(paths.SwitchLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(host.Program, "switch", paths.ID)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir, cmd.Env = string(filepath.Separator), host.Environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the switch of the stack's networks: %w", err)
	}
	return cmd.Process.Release()
}

// switchPause is how soon a switch is started again that does not last.
const switchPause = 3 * time.Second

// keepSwitch starts the switch anew if it is gone.
func (w *watchman) keepSwitch() {
	now := w.call.Now()
	if !needsSwitch(w.known) || now.Sub(w.switched) < switchPause {
		return
	}
	lock := flock.New(w.paths.SwitchLock(), flock.SetPermissions(0o600))
	if free, err := lock.TryLock(); err != nil || !free {
		return // it runs, or this is tried again
	}
	_ = lock.Close() // it was held for a moment
	w.switched = now
	if err := spawnSwitch(w.call.Host, w.paths); err != nil {
		w.say("", err.Error())
		return
	}
	w.say("", "the switch of the stack's networks is started")
}

// switchCmd is the process that carries the stack's networks. It is started by
// other commands, and is no part of what users type.
type switchCmd struct {
	ID string `arg:"" help:"The stack's ID."`
}

// switchMemory is what the switch's own data may come to before more is
// cleared away.
const switchMemory = 9 << 20

// Run carries the networks until no machine is left in them. It may be killed
// at any time: the machines run on, and another one knows from the state, and
// from their sockets, who is to be plugged in.
func (c *switchCmd) Run(call *call) error {
	steadyMemory()
	debug.SetMemoryLimit(switchMemory)
	paths := call.Layout().StackOf(c.ID)
	if err := os.MkdirAll(paths.Run, 0o700); err != nil {
		return err
	}
	lock := flock.New(paths.SwitchLock(), flock.SetPermissions(0o600))
	if got, err := lock.TryLock(); err != nil || !got {
		return err // another one is at work
	}
	defer func() { _ = lock.Unlock() }() // it ends with the process
	known, err := state.Read(paths)
	if err != nil {
		return err
	}
	listener, err := network.Listen(paths.SwitchSocket())
	if err != nil {
		return err
	}
	o := &switchman{call: call, paths: paths, lock: lock, known: known, carried: network.New(network.Settings{Stack: known.Stack, Now: call.Now})}
	defer o.carried.Close()
	o.plugAlive() // before the first request, which may be about one of them
	if _, err := shedProgram(); err != nil {
		o.say(fmt.Errorf("let go of memory: %w", err)) // it carries on with more
	}
	return o.serve(listener)
}

// switchman is a switch's process at work.
type switchman struct {
	call    *call
	paths   layout.Stack
	lock    *flock.Flock
	carried *network.Switch
	known   state.State
	read    fs.FileInfo // the state's file when known was read
	said    string
}

func (o *switchman) serve(listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- o.carried.Serve(listener) }()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-o.call.ctx.Done():
			return errors.Join(listener.Close(), <-failed)
		case err := <-failed:
			return err
		case <-ticker.C:
			if !o.look() {
				return errors.Join(listener.Close(), <-failed)
			}
		}
	}
}

// look does one round. more is false when nobody needs the switch.
func (o *switchman) look() (more bool) {
	if !sameFile(o.lock, o.paths.SwitchLock()) {
		return false
	}
	if err := o.refresh(); err != nil {
		o.say(err)
		return true
	}
	return len(o.plugAlive()) > 0 || needsSwitch(o.known)
}

// plugAlive plugs in machines that run and are not plugged in, and takes off
// those that ended. It gives the IDs of all that are plugged in.
func (o *switchman) plugAlive() []string {
	plugged := o.carried.Tidy()
	for _, address := range sortedKeys(o.known.Instances) {
		i := o.known.Instances[address]
		if !switched(i) || slices.Contains(plugged, i.ID) {
			continue
		}
		m := reconciler.Machine(i, o.paths, o.known.Project)
		if slices.ContainsFunc(m.NICs, func(n drivers.NIC) bool { return !network.Bound(n.Socket) }) {
			continue
		}
		if err := o.carried.Plug(networkMachine(m)); err != nil {
			o.say(fmt.Errorf("%s: %w", address, err))
		}
	}
	return plugged
}

// refresh reads the state if its file is another one than last time.
func (o *switchman) refresh() error {
	info, err := os.Stat(o.paths.StateFile())
	if errors.Is(err, fs.ErrNotExist) {
		o.known, o.read = state.State{}, nil
		return nil
	}
	if err != nil || o.read != nil && os.SameFile(info, o.read) && info.ModTime().Equal(o.read.ModTime()) {
		return err
	}
	known, err := state.Read(o.paths)
	if err == nil {
		o.known, o.read = known, info
	}
	return err
}

// say writes a line into the log, once for as often as it repeats.
func (o *switchman) say(err error) {
	if text := view.Clean(err.Error()); text != o.said {
		o.said = text
		fmt.Fprintf(o.call.Err, "%s %s\n", o.call.Now().UTC().Format(time.RFC3339), text)
	}
}

// sameFile reports whether a lock is still the one that others look at.
func sameFile(lock *flock.Flock, path string) bool {
	mine, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}
