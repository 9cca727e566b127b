package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/watcher"
)

// watchLockLimit is how long a change waits for another lkup, unless
// --lock-timeout says more.
const watchLockLimit = 30 * time.Second

type watchCmd struct {
	stackFlags
	applyFlags
	offlineFlag
	overcommitFlag
}

// Run applies the stack and follows its files until Ctrl-C. An error of one
// round is shown, and the next change is waited for. The machines stay.
func (c *watchCmd) Run(call *call) error {
	steadyMemory()
	dir, _, err := c.project(call.Host)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	wake, err := newWaker(dir)
	if err != nil {
		return err
	}
	defer wake.close()
	c.LockTimeout.Duration = max(c.LockTimeout.Duration, watchLockLimit)
	f := &follower{
		cmd: c, call: call, dir: dir, root: root, wake: wake, own: call.ownOutput(),
		scanner: watcher.Scanner{Project: root.FS(), Skip: ownDirs(call.Layout(), dir), ID: inode},
		sent:    map[spec.Address]givenFiles{},
		lines:   map[spec.Address]line{},
		late:    map[spec.Address]bool{},
		told:    map[spec.Address]toldFiles{},
	}
	if call.onScreen() && !c.JSON {
		var closed func()
		f.screen, f.call, closed = newScreen(call, dir)
		defer closed()
	}
	defer f.hangUp()
	f.follow.Anything = true
	f.keep(call.ctx)
	return nil
}

// keep does rounds until ctx ends. Some time after one in which something was
// done comes a look at everything: events told only where to look first.
func (f *follower) keep(ctx context.Context) {
	owed := false
	for l, more := (look{all: true}), true; more; l, more = f.wake.wait(ctx, owed) {
		owed = f.round(l) || owed && !l.all
	}
}

// ownDirs are the directories of lkup's own that lie in a project: to follow
// them would be to follow oneself.
func ownDirs(l layout.Layout, project string) map[string]bool {
	all := map[string]bool{}
	for _, dir := range []string{l.State, l.Cache, l.Runtime} {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if name, err := filepath.Rel(project, dir); err == nil && filepath.IsLocal(name) {
			all[filepath.ToSlash(name)] = true
		}
	}
	return all
}

func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// follower keeps a stack as its files say.
type follower struct {
	cmd     *watchCmd
	call    *call
	dir     string
	root    *os.Root        // dir
	own     map[uint64]bool // files that this process writes
	screen  *screen         // nil where there is no terminal; else call writes to it
	wake    *waker
	scanner watcher.Scanner

	begun   bool
	seen    watcher.Snapshot
	follow  watcher.Followed // by the last good stack
	asked   map[string]bool  // the files of also, at the last look
	files   []string         // that the last good evaluation read
	inputs  []string         // of images, as last resolved
	problem string           // of the last evaluation
	last    *spec.Stack      // that was evaluated without mistakes
	paths   layout.Stack

	evaluated time.Time // when the last good evaluation began

	sent  map[spec.Address]givenFiles
	lines map[spec.Address]line

	copies map[spec.Address][]followedShare
	// repeated are the shares of all machines whose changes are repeated.
	repeated []followedShare
	late     map[spec.Address]bool // whose copies could not be brought
	told     map[spec.Address]toldFiles
	// waiting are restarts and rebuilds that a broken stack file holds up.
	waiting watcher.Todo
}

// say shows what happened: to stdout for a program, else to stderr like all
// progress.
func (f *follower) say(e view.WatchEvent) {
	e.Time = f.call.Now()
	switch {
	case f.cmd.JSON:
		_ = view.WatchJSON(f.call.Out, e) // nobody is left to tell
	case f.screen != nil:
		f.screen.Event(e)
	default:
		view.Watch(f.call.Err, f.call.errStyle(), e)
	}
}

// doing says what goes on, where that is shown.
func (f *follower) doing(what string) {
	if f.screen != nil {
		f.screen.Doing(what)
	}
}

// failed shows an error, mistakes of stack files in full.
func (f *follower) failed(err error, took time.Duration) {
	if errors.Is(err, errRefused) {
		f.say(view.WatchEvent{Kind: "refused", Detail: err.Error() + "; the next change asks again"})
		return
	}
	var invalid *invalidStack
	if !errors.As(err, &invalid) || f.cmd.JSON {
		f.say(view.WatchEvent{Kind: "failed", Took: took, Err: err})
		return
	}
	f.say(view.WatchEvent{Kind: "failed", Detail: "the stack files have mistakes; the machines stay as they are", Took: took})
	view.Diagnostics(f.call.Err, f.call.errStyle(), invalid.files, invalid.diags)
}

// round looks at the files and does what has become necessary. It reports
// whether anything had changed.
func (f *follower) round(l look) bool {
	changes, err := f.changes(l)
	if err != nil {
		f.failed(err, 0)
	}
	if f.begun && len(changes) == 0 {
		f.repeat() // of directories
		return false
	}
	todo := watcher.Decide(changes, f.follow)
	first := !f.begun
	if first {
		f.begun, todo = true, watcher.Todo{Plan: true}
	} else {
		f.sayChanged(changes, todo)
	}
	f.doing("planning")
	f.plan(todo)
	f.sync()
	f.mirror(changes, first)
	f.repeat()
	f.exec(todo.Exec)
	f.doing("")
	if first {
		f.say(view.WatchEvent{Kind: "watching", Detail: f.dir + "; Ctrl-C ends it, and the machines stay"})
	}
	return true
}

// changes takes another look at the files. One that nobody asked for before,
// and that has not been written since it was read, has not changed.
func (f *follower) changes(l look) ([]watcher.Change, error) {
	also, before := f.also(), f.seen
	now, err := f.wake.settle(f.scanner, before, l, also)
	if len(now.Dirs) == 0 {
		return nil, err
	}
	f.seen = now
	asked := map[string]bool{}
	for _, name := range also {
		asked[name] = true
	}
	changes := slices.DeleteFunc(watcher.Compare(before, now), func(c watcher.Change) bool {
		return c.Kind == watcher.Added && asked[c.Path] && !f.asked[c.Path] && now.Files[c.Path].Modified.Before(f.evaluated)
	})
	f.asked = asked
	return changes, err
}

// sayChanged names the files that changed, if anything comes of it.
func (f *follower) sayChanged(changes []watcher.Change, todo watcher.Todo) {
	var names []string
	for _, c := range changes {
		one := watcher.Decide([]watcher.Change{c}, f.follow)
		if one.Plan || len(one.Restart)+len(one.Rebuild)+len(one.Exec) > 0 || f.synced(c.Path) || f.copied(c.Path) || f.repeats(c.Path) {
			names = append(names, c.Path)
		}
	}
	if len(names) > 0 {
		f.say(view.WatchEvent{Kind: "changed", Paths: names})
	}
}

func (f *follower) synced(name string) bool {
	for _, rules := range f.follow.VMs {
		for _, r := range rules {
			if _, covered := r.Covers(name); covered && r.Action == spec.WatchSync {
				return true
			}
		}
	}
	return false
}

// also are the files that count even if git ignores them.
func (f *follower) also() []string {
	all := slices.Concat(f.files, f.inputs)
	for _, v := range f.cmd.VarFile {
		if abs, err := filepath.Abs(v.text); err == nil {
			if name, err := filepath.Rel(f.dir, abs); err == nil && filepath.IsLocal(name) {
				all = append(all, filepath.ToSlash(name))
			}
		}
	}
	return all
}

// open evaluates the stack, unless a stack file is empty and machines are gone
// with it, as while somebody writes it, or it is another stack by now.
func (f *follower) open(host Host) (*project, error) {
	p, err := openProject(host, f.cmd.stackFlags)
	if err != nil || f.last == nil {
		return p, err
	}
	gone := slices.DeleteFunc(sortedKeys(f.last.VMs), func(a spec.Address) bool {
		_, there := p.stack.VMs[a]
		return there
	})
	for _, name := range sortedKeys(p.sources) {
		if len(gone) > 0 && len(bytes.TrimSpace(p.sources[name].Bytes)) == 0 {
			p.close()
			return nil, fmt.Errorf("%s is empty, as while it is written; %s stays: if nothing is to be in it, remove the file", name, view.List(gone))
		}
	}
	if p.stack.Name != f.last.Name {
		p.close()
		return nil, fmt.Errorf("the stack files are of stack %s by now, and not of %s any more; to follow that, end this with Ctrl-C and begin again", p.stack.Name, f.last.Name)
	}
	return p, nil
}

// plan evaluates the stack, and applies it if that is due.
func (f *follower) plan(todo watcher.Todo) {
	host := f.call.Host
	if !todo.Plan {
		host.Err = io.Discard // its warnings have been shown
	}
	begun := f.call.Now()
	todo.Restart = append(todo.Restart, f.waiting.Restart...)
	todo.Rebuild = append(todo.Rebuild, f.waiting.Rebuild...)
	p, err := f.open(host)
	if err != nil {
		f.waiting, f.follow.Anything = todo, true
		if err.Error() != f.problem {
			f.failed(err, f.call.Now().Sub(begun))
		}
		f.problem = err.Error()
		return
	}
	defer p.close()
	f.waiting, f.problem = watcher.Todo{}, ""
	due := todo.Plan || !slices.Equal(f.files, p.stack.Files) || len(todo.Restart)+len(todo.Rebuild) > 0
	f.files, f.paths, f.evaluated, f.last = p.stack.Files, p.paths, begun, p.stack
	if f.screen != nil {
		f.screen.of(p.paths)
	}
	f.take(p.stack)
	if !due {
		return
	}
	p.host = f.call.Host
	detail, err := f.apply(p, todo)
	f.take(p.stack)
	if err != nil {
		f.failed(err, f.call.Now().Sub(begun))
		return
	}
	f.say(view.WatchEvent{Kind: "applied", Detail: detail, Took: f.call.Now().Sub(begun)})
}

// take makes a stack the one by which changes are judged.
func (f *follower) take(stack *spec.Stack) {
	f.follow.Files, f.follow.VMs = map[string]bool{}, map[spec.Address][]watcher.Rule{}
	for _, img := range stack.Images {
		for _, ref := range append([]string{img.Source}, img.Fallbacks...) {
			if name, local := strings.CutPrefix(ref, "file:"); local && !path.IsAbs(name) && !slices.Contains(f.inputs, path.Clean(name)) {
				f.inputs = append(f.inputs, path.Clean(name))
			}
		}
	}
	for _, name := range f.also() {
		f.follow.Files[name] = true
	}
	f.copies, f.repeated = map[spec.Address][]followedShare{}, nil
	for a, vm := range stack.VMs {
		f.repeated = append(f.repeated, repeatedShares(f.dir, f.dir, vm.Shares)...)
		if shares := f.copiedShares(vm); len(shares) > 0 {
			f.copies[a] = shares
		}
		for _, w := range vm.Watch {
			f.follow.VMs[a] = append(f.follow.VMs[a], watcher.NewRule(w))
		}
	}
}

// apply does one apply, under the stack's lock, and says what came of it.
func (f *follower) apply(p *project, todo watcher.Todo) (string, error) {
	call, c := f.call, f.cmd
	f.follow.Anything = true
	store, err := lockStack(call, p.paths, p.stack.Name, p.dir, "watch", c.lockFlags)
	if err != nil {
		return "", err
	}
	defer store.Close()
	choice := choiceFlags{Replace: existing(todo.Rebuild, p.stack), overcommitFlag: c.overcommitFlag}
	d, err := decider{host: call.Host, project: p, store: store, choice: choice, restart: todo.Restart, offline: c.Offline}.run(call.ctx)
	if err != nil {
		return "", err
	}
	f.follow.Anything = false
	f.inputs = nil
	for _, inputs := range d.pinned.inputs {
		for name, input := range inputs {
			if input.File && fs.ValidPath(name) {
				f.inputs = append(f.inputs, name)
			}
		}
	}
	if d.plan.Empty() && len(d.plan.Refusals) == 0 {
		return "nothing to do", d.images.writeLockFile(call.ctx, true)
	}
	x := execution{
		reconciler: newReconciler(call.Host, p.paths, p.dir, d.images, store),
		agreed:     func() error { return d.images.writeLockFile(call.ctx, true) },
		plan:       d.plan,
		with:       reconciler.Materials{Images: p.stack.Images, Volumes: p.stack.Volumes, Sources: d.sources, Recipes: d.pinned.recipes},
		outputs:    p.stack.Outputs,
		choice:     choice,
		command:    "watch",
		flags:      c.stackFlags,
	}
	f.doing("applying")
	if f.screen != nil {
		return view.Summary(d.plan), f.screen.execute(&c.applyFlags, call, x)
	}
	return view.Summary(d.plan), c.execute(call, x)
}

// existing are those of some addresses that the stack still has.
func existing(all []spec.Address, stack *spec.Stack) []spec.Address {
	return slices.DeleteFunc(slices.Clone(all), func(a spec.Address) bool {
		_, there := stack.VMs[a]
		return !there
	})
}

// exec runs the commands of exec blocks in their guests.
func (f *follower) exec(all []watcher.Exec) {
	for _, x := range all {
		begun := f.call.Now()
		f.doing("running " + strings.Join(x.Command, " "))
		err := f.execOne(x)
		f.say(view.WatchEvent{Kind: outcome("ran", err), Address: x.VM, Detail: strings.Join(x.Command, " "), Took: f.call.Now().Sub(begun), Err: err})
	}
}

func (f *follower) execOne(x watcher.Exec) error {
	known, err := state.Read(f.paths)
	if err != nil {
		return err
	}
	conn, err := f.reach(known, x.VM)
	if err != nil {
		return err
	}
	status, output, err := conn.Run(f.call.ctx, x.Command)
	if err != nil {
		f.drop(x.VM)
	}
	if !f.cmd.JSON {
		fmt.Fprint(f.call.Err, cleanLines(output))
	}
	if err == nil && status != 0 {
		err = fmt.Errorf("it ended with exit status %d", status)
	}
	return err
}

// cleanLines is what a guest wrote, without what would bend the terminal.
func cleanLines(output []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(output)) {
		b.WriteString("  " + view.Clean(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}
