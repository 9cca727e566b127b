package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/lease"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type runCmd struct {
	stackFlags
	offlineFlag
	Stack   bool     `name:"stack" help:"Apply the stack for as long as a command of this computer runs, under a lease of its own, and remove it."`
	CPUs    int      `name:"cpus" default:"1" help:"How many CPUs it has."`
	Memory  string   `name:"memory" default:"256MiB" placeholder:"SIZE" help:"How much memory it has."`
	Env     []string `name:"env" short:"e" sep:"none" placeholder:"NAME=VALUE" help:"A variable of its environment. May be repeated."`
	Port    []string `name:"port" short:"p" sep:"none" placeholder:"HOST:GUEST" help:"Forward a port, as lkup port-forward takes them. May be repeated."`
	Share   []string `name:"share" sep:"none" placeholder:"DIR:PATH" help:"Show it a directory of this computer. May be repeated."`
	Cmdline string   `name:"cmdline" placeholder:"WORDS" help:"Words to add to the kernel's command line."`
	Driver  string   `name:"driver" default:"auto" help:"What runs it."`
	TTY     bool     `short:"t" name:"tty" help:"Give the command a terminal; without a command, a shell."`
	Image   string   `arg:"" optional:"" help:"What it boots: oci:nginx, builtin:minimal, FILE.yml, file:disk.qcow2, as in image of a vm. With --stack, the command begins here."`
	Command []string `arg:"" optional:"" passthrough:"" help:"A command to run in it, after --. Without one, its services run to their end."`
}

// runFile is the stack file of a run.
const runFile = "run.lkup.json"

// Run makes a machine, runs something in it, and removes it, whatever happens
// meanwhile. It ends with the command's exit status.
func (c *runCmd) Run(call *call) error {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if c.Stack {
		return c.withStack(call, command)
	}
	if c.Image == "" {
		return usageError{"name an image: lkup run IMAGE; or a command for the stack: lkup run --stack -- COMMAND"}
	}
	if c.File != "" || len(c.Var)+len(c.VarFile)+len(c.Profile) > 0 {
		return usageError{"--file, --var, --var-file and --profile are for stack files, of which lkup run IMAGE reads none; see --stack"}
	}
	dir, err := realDir(c.Dir)
	if err != nil {
		return err
	}
	content, err := c.stackFile(dir, len(command) == 0 && !c.TTY)
	if err != nil {
		return err
	}
	r, err := beginRun(call, content)
	if err != nil {
		return err
	}
	err = c.inside(call, r, dir, command)
	if err = errors.Join(err, r.end(call)); call.ctx.Err() != nil {
		return exitError(exitInterrupted)
	}
	return err
}

// inside starts the machine and runs what is to be run.
func (c *runCmd) inside(call *call, r *oneRun, dir string, command []string) error {
	p, err := r.project(call, dir)
	if err != nil {
		return err
	}
	defer p.close()
	store, err := lockStack(call, r.paths, r.name, r.dir, "run "+c.Image, lockFlags{})
	if err != nil {
		return err
	}
	defer store.Close()
	d, err := decider{host: call.Host, project: p, store: store, offline: c.Offline}.run(call.ctx)
	if err != nil {
		return err
	}
	if len(d.plan.Refusals) > 0 {
		return fmt.Errorf("%s", d.plan.Refusals[0].Detail)
	}
	reconciler := newReconciler(call.Host, r.paths, dir, d.images, store)
	x := execution{
		reconciler: reconciler, plan: d.plan,
		with: materials(p, d),
	}
	if len(command) == 0 && !c.TTY {
		return r.toItsEnd(call, x)
	}
	if err := r.apply(call, x); err != nil {
		return err
	}
	machine, err := pick(call.Host, r.paths, store.State(), runVM)
	if err != nil {
		return err
	}
	return session(call, machine, command, c.TTY)
}

func materials(p *project, d *decision) reconciler.Materials {
	return reconciler.Materials{Images: p.stack.Images, Volumes: p.stack.Volumes, Sources: d.sources, Recipes: d.pinned.recipes}
}

// runVM is the machine of a run.
const runVM = "vm.run"

// stackFile is what asks for the machine.
func (c *runCmd) stackFile(dir string, task bool) ([]byte, error) {
	vm := map[string]any{"image": literal(c.Image), "cpus": c.CPUs, "memory": literal(c.Memory), "driver": literal(c.Driver), "cmdline": literal(c.Cmdline)}
	if task {
		vm["kind"], vm["ready"] = spec.KindTask, map[string]any{"timeout": "8760h"}
	}
	env := map[string]string{}
	for _, entry := range c.Env {
		name, value, found := strings.Cut(entry, "=")
		if !found {
			return nil, usageError{fmt.Sprintf("--env %q has no value; write NAME=VALUE", entry)}
		}
		env[name] = literal(value)
	}
	vm["env"] = env
	var ports, shares []map[string]any
	for _, text := range c.Port {
		port, err := runPort(text)
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	for _, text := range c.Share {
		host, guest, found := strings.Cut(text, ":")
		if !found {
			return nil, usageError{fmt.Sprintf("--share %q does not say where the guest sees it; write DIR:PATH", text)}
		}
		if !filepath.IsAbs(host) {
			host = filepath.Join(dir, host)
		}
		shares = append(shares, map[string]any{"host": literal(host), "guest": literal(guest)})
	}
	vm["port"], vm["share"] = list(ports), list(shares)
	// On lines of its own, since mistakes are shown with theirs.
	return json.MarshalIndent(map[string]any{"vm": map[string]any{"run": vm}}, "", "  ")
}

// list makes an absent list an empty one.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// literal is a text of HCL's JSON that means just that text.
func literal(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text)
}

func runPort(text string) (map[string]any, error) {
	f, err := parseForwarding(text, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	at := strings.LastIndexByte(f.host, ':')
	guest, isOwn := strings.CutPrefix(f.guest, "127.0.0.1:")
	if !isOwn {
		return nil, usageError{fmt.Sprintf("--port %q names another computer; lkup port-forward can do that", text)}
	}
	port := map[string]any{"guest": json.Number(guest), "address": strings.Trim(f.host[:at], "[]"), "host": json.Number(f.host[at+1:])}
	if f.host[at+1:] == "0" {
		port["host"] = "auto"
	}
	return port, nil
}

// oneRun is a run's place on disk: a project of its own, leased for as long as
// its lkup lives.
type oneRun struct {
	name  string
	dir   string
	paths layout.Stack
	lease *lease.Lease
}

// beginRun makes the place of a new run.
func beginRun(call *call, content []byte) (*oneRun, error) {
	held, err := lease.Take(call.Layout(), "")
	if err != nil {
		return nil, err
	}
	r := &oneRun{name: held.Name, dir: held.Dir, paths: call.Layout().Stack(held.Name, held.Dir), lease: held}
	if err := state.WriteFile(filepath.Join(r.dir, runFile), content, 0o600); err != nil {
		return nil, errors.Join(err, held.End())
	}
	return r, nil
}

// project is the run's stack file, with all other files from dir.
func (r *oneRun) project(call *call, dir string) (*project, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the project: %w", err)
	}
	p := &project{
		dir: dir, root: root, host: call.Host, paths: r.paths,
		files: overlay{project: root.FS(), own: os.DirFS(r.dir)},
		inputs: spec.Inputs{
			Files: []string{runFile}, DefaultName: r.name, Version: version,
			Drivers: driverNames(call.Host), Builtins: linuxkit.Builtins(), UserTemplates: openUserTemplates(call.Host).names(),
		},
	}
	if err := p.evaluate(spec.Facts{}, true); err != nil {
		root.Close()
		return nil, err
	}
	return p, nil
}

// overlay is a project with the stack file of a run in it.
type overlay struct{ project, own fs.FS }

func (o overlay) Open(name string) (fs.File, error) {
	if name == runFile {
		return o.own.Open(name)
	}
	return o.project.Open(name)
}

// apply makes the machine. What goes on shows on a terminal alone, since the
// rest of the output is the command's.
func (r *oneRun) apply(call *call, x execution) error {
	x.reconciler.Emit = func(reconciler.Event) {}
	if call.TTY.Err {
		progress := view.Events(call.Err, call.errStyle(), x.plan, call.Now)
		x.reconciler.Emit = progress.Event
		defer progress.Close()
		ctx, cancel := context.WithCancel(call.ctx)
		defer cancel()
		go attend(ctx, nil, cancel, progress)
	}
	return x.reconciler.Apply(call.ctx, call.ctx.Done(), x.plan, x.with)
}

// toItsEnd runs the machine as a task, and shows what it writes.
func (r *oneRun) toItsEnd(call *call, x execution) error {
	ctx, cancel := context.WithCancel(call.ctx)
	followed := make(chan error, 1)
	started := make(chan state.Instance, 1)
	x.reconciler.Emit = func(e reconciler.Event) {
		if e.Kind != reconciler.StageReached || e.Stage != reconciler.StageProcess {
			return
		}
		if i, found := x.reconciler.Store.Instance(e.Address); found {
			select {
			case started <- i:
			default:
			}
		}
	}
	go func() {
		select {
		case i := <-started:
			out := view.Prefixed(call.Out, call.outStyle(), []string{runVM})[0]
			var w io.Writer = out
			if i.Guest {
				w = &ownLines{w: out}
			}
			log := consoleLog{path: filepath.Join(r.paths.Instance(i.ID), drivers.ConsoleLog), tail: -1}
			followed <- errors.Join(log.copyTo(ctx, w, true), out.Flush())
		case <-ctx.Done():
			followed <- nil
		}
	}()
	err := x.reconciler.Apply(call.ctx, call.ctx.Done(), x.plan, x.with)
	cancel()
	<-followed
	if status, told := reconciler.FailedTask(err); told {
		return exitError(status)
	}
	return err
}

// ownLines passes on what services wrote, and not what lkup's init says of them
// and the kernel of itself. Whole lines are written to it.
type ownLines struct{ w io.Writer }

func (o *ownLines) Write(line []byte) (int, error) {
	_, rest, _ := strings.Cut(string(line), " ")
	name, text, named := strings.Cut(rest, ": ")
	if _, stamped := lineTime(string(line)); !stamped || !named || name == "lkup-init" || name == "lkup" {
		return len(line), nil
	}
	_, err := io.WriteString(o.w, text)
	return len(line), err
}

// end removes the machine and all that is left of it, also after Ctrl-C.
func (r *oneRun) end(call *call) error {
	return endLease(context.WithoutCancel(call.ctx), call, r.lease)
}
