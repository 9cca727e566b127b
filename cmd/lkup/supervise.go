package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/supervisor"
)

// lookEvery is how often the supervisor looks at the stack's processes.
const lookEvery = 500 * time.Millisecond

// restartLockLimit is how long a start that is due waits for another lkup. It
// is tried again after that.
const restartLockLimit = time.Minute

// order tells a supervisor what to watch. It goes by stdin, because values of
// variables may be secret and other people can read command lines.
type order struct {
	Stack    string      `json:"stack"`
	Project  string      `json:"project"`
	File     string      `json:"file,omitempty"`
	Profiles []string    `json:"profiles,omitempty"`
	Given    []givenText `json:"given,omitempty"`
}

// givenText is --var or --var-file.
type givenText struct {
	Left int    `json:"left"`
	Text string `json:"text"`
	File bool   `json:"file,omitempty"`
}

// orderFor hands on the flags by which the stack's secrets are found.
func orderFor(stack, project string, flags stackFlags) (order, error) {
	o := order{Stack: stack, Project: project, Profiles: flags.Profile}
	var err error
	if flags.File != "" {
		if o.File, err = filepath.Abs(flags.File); err != nil {
			return order{}, err
		}
	}
	for _, v := range flags.Var {
		o.Given = append(o.Given, givenText{Left: v.left, Text: v.text})
	}
	for _, v := range flags.VarFile {
		path, err := filepath.Abs(v.text)
		if err != nil {
			return order{}, err
		}
		o.Given = append(o.Given, givenText{Left: v.left, Text: path, File: true})
	}
	return o, nil
}

func (o order) flags() stackFlags {
	flags := stackFlags{dirFlag: dirFlag{Dir: o.Project}, File: o.File, valueFlags: valueFlags{Profile: o.Profiles}}
	for _, g := range o.Given {
		if g.File {
			flags.VarFile = append(flags.VarFile, givenFlag{g.Left, g.Text})
		} else {
			flags.Var = append(flags.Var, givenFlag{g.Left, g.Text})
		}
	}
	return flags
}

// superviseCmd is the small process that starts machines again. It is started
// by other commands, and is no part of what users type.
type superviseCmd struct {
	ID string `arg:"" help:"The stack's ID, for who reads the list of processes."`
}

// supervised reports whether an instance is to be started again by itself.
func supervised(i state.Instance) bool {
	return i.Applied.Restart.Policy != "" && i.Applied.Running && i.Created && !i.Halted
}

func anySupervised(known state.State) bool {
	for _, i := range known.Instances {
		if supervised(i) || probed(i) || hasDocker(i) {
			return true
		}
	}
	return false
}

// ensureSupervisor starts the stack's supervisor if something needs it and it
// does not run. Two that start at once settle it by the lock.
func ensureSupervisor(host Host, paths layout.Stack, known state.State, flags stackFlags) error {
	if host.Program == "" || !anySupervised(known) && !needsSwitch(known) {
		return nil
	}
	lock := flock.New(paths.SupervisorLock(), flock.SetPermissions(0o600))
	if free, err := lock.TryLock(); err != nil || !free {
		return nil // it runs, or will be seen not to by the next command
	}
	if err := lock.Unlock(); err != nil {
		return err
	}
	o, err := orderFor(known.Stack, known.Project, flags)
	if err != nil {
		return err
	}
	return spawnSupervisor(host, paths, o)
}

func spawnSupervisor(host Host, paths layout.Stack, o order) error {
	content, err := json.Marshal(o)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(paths.SupervisorLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd := exec.Command(host.Program, "supervise", paths.ID)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, log, log
	cmd.Dir, cmd.Env = string(filepath.Separator), host.Environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		write.Close()
		return fmt.Errorf("start the process that restarts machines: %w", err)
	}
	_, err = write.Write(content) // far less than a pipe holds
	return errors.Join(err, write.Close(), cmd.Process.Release())
}

// Run watches until nothing needs it any more. It may be killed at any time:
// the machines run on, and the next command starts it anew.
func (c *superviseCmd) Run(call *call) error {
	steadyMemory()
	var o order
	if err := json.NewDecoder(io.LimitReader(call.In, 1<<20)).Decode(&o); err != nil {
		return fmt.Errorf("lkup starts this process itself, and tells it what to do: %w", err)
	}
	paths := call.Layout().Stack(o.Stack, o.Project)
	if err := os.MkdirAll(paths.Run, 0o700); err != nil {
		return err
	}
	lock := flock.New(paths.SupervisorLock(), flock.SetPermissions(0o600))
	if got, err := lock.TryLock(); err != nil || !got {
		return err // another one is at work
	}
	defer func() { _ = lock.Unlock() }() // it ends with the process
	w := &watchman{call: call, order: o, paths: paths, lock: lock, probers: newProbers(call, paths)}
	defer w.probers.close()
	w.dockers = &dockers{call: call, paths: paths, say: w.say, all: map[spec.Address]*dockerKeeper{}}
	defer w.dockers.close()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		more, err := w.look(call.ctx)
		if err != nil {
			w.say("", err.Error())
		}
		if !more {
			return nil
		}
		select {
		case <-call.ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// watchman is a supervisor at work on one stack.
type watchman struct {
	call  *call
	order order
	paths layout.Stack
	lock  *flock.Flock

	supervisor supervisor.Supervisor
	probers    *probers
	dockers    *dockers
	known      state.State
	read       fs.FileInfo // the state's file when known was read
	lastError  string
	switched   time.Time // when a switch was started last
}

// say writes a line into the log, once for as often as it repeats.
func (w *watchman) say(a spec.Address, text string) {
	if a != "" {
		text = string(a) + ": " + text
	} else if text == w.lastError {
		return
	} else {
		w.lastError = text
	}
	fmt.Fprintf(w.call.Err, "%s %s\n", w.call.Now().UTC().Format(time.RFC3339), view.Clean(text))
}

// look does one round. more is false when nothing is left to watch.
func (w *watchman) look(ctx context.Context) (more bool, err error) {
	if !w.holds() {
		return false, nil
	}
	if err := w.refresh(); err != nil {
		return true, err
	}
	if !anySupervised(w.known) && !needsSwitch(w.known) {
		return false, nil
	}
	w.keepSwitch()
	w.probers.follow(ctx, w.known)
	w.dockers.follow(ctx, w.known)
	for _, a := range w.probers.tell() {
		w.tellHealth(a)
	}
	seen, err := w.see(ctx)
	if err != nil {
		return true, err
	}
	due, notes := w.supervisor.Look(seen, w.call.Now())
	for _, n := range notes {
		w.say(n.Address, n.Text)
		w.tell(n)
	}
	if len(due) == 0 {
		return true, nil
	}
	return true, w.restart(ctx, due)
}

// tell lets those who follow the stack know what was seen.
func (w *watchman) tell(n supervisor.Note) {
	state.Tell(w.paths, state.Happening{
		Time: w.call.Now().UTC(), Address: n.Address, ID: w.known.Instances[n.Address].ID, Kind: n.Kind, Detail: n.Text,
	})
}

// tellHealth lets those who follow the stack know that a machine is well; that
// it is not is told with what becomes of that.
func (w *watchman) tellHealth(a spec.Address) {
	if h := w.probers.told[a]; h.Status == supervisor.Healthy {
		w.tell(supervisor.Note{Address: a, Kind: h.Status})
	}
}

// holds reports whether the lock is still the one that others look at.
func (w *watchman) holds() bool { return sameFile(w.lock, w.paths.SupervisorLock()) }

// refresh reads the state if its file is another one than last time.
func (w *watchman) refresh() error {
	info, err := os.Stat(w.paths.StateFile())
	if errors.Is(err, fs.ErrNotExist) {
		w.known, w.read = state.State{}, nil
		return nil
	}
	if err != nil {
		return err
	}
	if w.read != nil && os.SameFile(info, w.read) && info.ModTime().Equal(w.read.ModTime()) {
		return nil
	}
	known, err := state.Read(w.paths)
	if err == nil {
		w.known, w.read = known, info
	}
	return err
}

// see looks how the machines are that have a policy or a health block.
func (w *watchman) see(ctx context.Context) ([]supervisor.Seen, error) {
	all := allDrivers(w.call.Host)
	var seen []supervisor.Seen
	for _, address := range sortedKeys(w.known.Instances) {
		i := w.known.Instances[address]
		ender, able := all[i.Driver].(drivers.Ender)
		if !supervised(i) && !probed(i) || !able {
			continue
		}
		m := reconciler.Machine(i, w.paths, w.known.Project)
		ending, err := ender.Ended(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", address, err)
		}
		seen = append(seen, supervisor.Seen{
			Address: address, Restart: i.Applied.Restart, Ending: ending, Health: w.health(i),
			Panicked: ending != drivers.NotEnded && reconciler.Panicked(m),
		})
	}
	return seen, nil
}

// health is what was found of a machine's present run.
func (w *watchman) health(i state.Instance) supervisor.Health {
	if one := w.probers.all[i.Address]; one != nil && one.instance.Proven == i.Proven {
		return one.get()
	}
	return supervisor.Health{}
}

// restart starts what is due, by a plan from what the state says: what the
// stack files say meanwhile is for the next apply.
func (w *watchman) restart(ctx context.Context, due []spec.Address) error {
	flags := lockFlags{LockTimeout: durationFlag{restartLockLimit}}
	store, err := lockStack(w.call, w.paths, w.order.Stack, w.order.Project, "supervise (starting "+view.List(due)+" again)", flags)
	var locked *state.LockedError
	if errors.As(err, &locked) {
		return nil // what is still down then is due again
	}
	if err != nil {
		return err
	}
	defer store.Close()
	now := store.State()
	due = slices.DeleteFunc(due, func(a spec.Address) bool { return !supervised(now.Instances[a]) })
	for _, group := range bySources(now, due) {
		err = errors.Join(err, w.start(ctx, store, group))
	}
	w.supervisor.Started(due, w.call.Now())
	return err
}

// bySources puts together the machines whose values were made from the same
// things, so that the record of that stays.
func bySources(known state.State, due []spec.Address) [][]spec.Address {
	groups := map[string][]spec.Address{}
	for _, a := range due {
		if i, there := known.Instances[a]; there {
			groups[i.Sources] = append(groups[i.Sources], a)
		}
	}
	var all [][]spec.Address
	for _, name := range sortedKeys(groups) {
		all = append(all, groups[name])
	}
	return all
}

func (w *watchman) start(ctx context.Context, store *state.Store, due []spec.Address) error {
	plan, with, r, closeAll, err := startApplied{
		call: w.call, flags: w.order.flags(), paths: w.paths, store: store, addresses: due, restart: w.unwell(store.State(), due),
	}.plan(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	if plan.Empty() {
		return nil
	}
	progress := view.Events(w.call.Err, view.Style{}, plan, w.call.Now)
	r.Emit = progress.Event
	err = r.Apply(ctx, ctx.Done(), plan, with)
	progress.Close()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// unwell are those that run, and must be stopped first: who was started anew
// meanwhile is another run.
func (w *watchman) unwell(now state.State, due []spec.Address) []spec.Address {
	var all []spec.Address
	for _, a := range due {
		if w.health(now.Instances[a]).Status == supervisor.Unhealthy {
			all = append(all, a)
		}
	}
	return all
}
