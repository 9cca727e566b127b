package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

type devCmd struct {
	Up        devUpCmd        `cmd:"" help:"Make the machine what the stack files say, and set it up."`
	Down      devDownCmd      `cmd:"" help:"Take the machine away; its caches stay."`
	Status    devStatusCmd    `cmd:"" help:"Show the machine."`
	Shell     devShellCmd     `cmd:"" help:"Open a shell in the machine, in this directory."`
	Run       devRunCmd       `cmd:"" help:"Run a command in the machine, in this directory."`
	Serve     devServeCmd     `cmd:"" help:"Serve the project, and forward its port."`
	Test      devTestCmd      `cmd:"" help:"Test the project."`
	Agent     devAgentCmd     `cmd:"" help:"Run a coding agent that cannot hurt this computer."`
	Docker    devDockerCmd    `cmd:"" help:"Use the machine's Docker Engine with this computer's docker."`
	SSHConfig devSSHConfigCmd `cmd:"" name:"ssh-config" help:"Print OpenSSH settings, for ssh -F and editors."`
	Logs      devLogsCmd      `cmd:"" help:"Show what the machine wrote to its console."`
	Init      devInitCmd      `cmd:"" help:"Write the devenv block that stands for this directory."`
}

// startFile is the stack file that a directory without one is as if it had.
const startFile = "lkup.hcl"

// devLockLimit is how long a session waits for another lkup that brings its
// machine up.
const devLockLimit = 15 * time.Minute

// devFlags choose a devenv.
type devFlags struct {
	stackFlags
	Devenv string `name:"devenv" placeholder:"NAME" help:"Which devenv, where the stack has several."`
}

// devUpFlags are those of commands that bring a machine up.
type devUpFlags struct {
	devFlags
	offlineFlag
	overcommitFlag
}

// workplace is a devenv, and where one stands in it.
type workplace struct {
	project *project
	env     spec.Devenv
	host    string // the project's directory of the host, absolute
	here    string // the directory of the host that is worked in, in host or not
}

// openProject opens that of the stack files in this directory or one above it,
// else the one that stands for a directory without any. here is this directory.
func (f devFlags) openProject(host Host) (p *project, here string, err error) {
	here, err = os.Getwd()
	if err == nil {
		here, err = realDir(here)
	}
	if err != nil {
		return nil, "", fmt.Errorf("find this directory: %w", err)
	}
	flags, start, err := f.located(host, here)
	if err != nil {
		return nil, "", err
	}
	p, err = openProjectOr(host, flags, start)
	return p, here, err
}

// open finds the devenv.
func (f devFlags) open(host Host) (*workplace, error) {
	p, here, err := f.openProject(host)
	if err != nil {
		return nil, err
	}
	w := &workplace{project: p, here: here}
	if w.env, err = f.chosen(p.stack); err != nil {
		p.close()
		return nil, err
	}
	w.host = w.env.Project
	if !filepath.IsAbs(w.host) {
		w.host = filepath.Join(p.dir, w.host)
	}
	if w.host, err = realDir(w.host); err != nil {
		p.close()
		return nil, err
	}
	return w, nil
}

func (w *workplace) close() { w.project.close() }

// guestDir is the guest's directory for the one that is worked in.
func (w *workplace) guestDir() string { return devenv.Guest(w.host, w.here) }

// located is the flags with the project's directory in them. start makes a
// stack file if there is none.
func (f devFlags) located(host Host, here string) (stackFlags, func(fs.FS) []byte, error) {
	flags := f.stackFlags
	if flags.File != "" {
		return flags, nil, nil
	}
	dir, err := realDir(flags.Dir)
	if err != nil {
		return flags, nil, err
	}
	if flags.Dir == "." {
		if dir, err = projectAround(host, here); err != nil {
			return flags, nil, err
		}
		flags.Dir = dir
	}
	names, err := spec.StackFiles(os.DirFS(dir))
	if err != nil {
		return flags, nil, fmt.Errorf("read the project: %w", err)
	}
	if len(names) > 0 {
		return flags, nil, nil
	}
	return flags, startOf(host), nil
}

// startOf makes the stack file of a directory that has none.
func startOf(host Host) func(fs.FS) []byte {
	return func(project fs.FS) []byte { return devenv.Start(project, "", host.size().CPUs) }
}

// projectAround is the nearest directory, from here upwards, that has stack
// files or a stack of this computer; else here.
func projectAround(host Host, here string) (string, error) {
	for dir := here; ; dir = filepath.Dir(dir) {
		applied, err := state.Of(host.Layout(), dir)
		if err != nil {
			return "", err
		}
		names, err := spec.StackFiles(os.DirFS(dir))
		if len(applied) > 0 || err == nil && len(names) > 0 {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return here, nil
		}
	}
}

// chosen is the devenv that is meant.
func (f devFlags) chosen(stack *spec.Stack) (spec.Devenv, error) {
	addresses := sortedKeys(stack.Devenvs)
	var names []string
	for _, a := range addresses {
		name := strings.TrimPrefix(string(a), "devenv.")
		if f.Devenv == name || f.Devenv == string(a) {
			return stack.Devenvs[a], nil
		}
		names = append(names, name)
	}
	switch {
	case len(addresses) == 0:
		return spec.Devenv{}, errors.New("the stack files have no devenv block; to add one, type: lkup dev init")
	case f.Devenv != "":
		return spec.Devenv{}, fmt.Errorf("there is no devenv %q; there is %s", f.Devenv, strings.Join(names, ", "))
	case len(addresses) > 1:
		return spec.Devenv{}, fmt.Errorf("there are several devenvs; say which: --devenv %s", strings.Join(names, ", or --devenv "))
	}
	return stack.Devenvs[addresses[0]], nil
}

// forSession brings a machine up for a session, whose stdout it leaves alone.
// What would end what runs in the machine is not done but said, with what to
// type for it.
func (f devUpFlags) forSession(call *call, p *project, machine spec.Address, to string) (reached, error) {
	quiet := *call
	quiet.Out, quiet.TTY.Out = call.Err, call.TTY.Err
	return f.bringUp(&quiet, p, machine, applyFlags{Parallelism: 8}, func(step *planner.Step) bool {
		fmt.Fprintf(call.Err, "Left as it is: %s. To do that, type: %s\n", view.Clean(step.Sentence()), to)
		return true
	})
}

// bringUp makes a machine run, unless leave has it as it is in spite of a step
// that would end what runs in it.
func (f devUpFlags) bringUp(call *call, p *project, machine spec.Address, apply applyFlags, leave func(*planner.Step) bool) (reached, error) {
	choice := choiceFlags{Target: []spec.Address{machine}, overcommitFlag: f.overcommitFlag}
	d, err := decider{host: call.Host, project: p, choice: choice, offline: f.Offline}.run(call.ctx)
	if err != nil {
		return reached{}, err
	}
	step := interrupting(d.plan, machine)
	if (!d.plan.Empty() || len(d.plan.Refusals) > 0) && (step == nil || !leave(step)) {
		if err := f.apply(call, p, apply, choice); err != nil {
			return reached{}, err
		}
	}
	known, err := state.Read(p.paths)
	if err != nil {
		return reached{}, err
	}
	return pick(call.Host, p.paths, known, string(machine))
}

// interrupting is the step of a plan that would end what runs in a machine.
func interrupting(plan *planner.Plan, a spec.Address) *planner.Step {
	for i, s := range plan.Steps {
		if s.Address == a && (s.Action == planner.Restart || s.Action == planner.Replace) {
			return &plan.Steps[i]
		}
	}
	return nil
}

func (f devUpFlags) apply(call *call, p *project, apply applyFlags, choice choiceFlags) error {
	apply.LockTimeout.Duration = max(apply.LockTimeout.Duration, devLockLimit)
	store, err := lockStack(call, p.paths, p.stack.Name, p.dir, "dev", apply.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	d, err := decider{host: call.Host, project: p, store: store, choice: choice, offline: f.Offline}.run(call.ctx)
	if err != nil {
		return err
	}
	if d.plan.Empty() && len(d.plan.Refusals) == 0 {
		return nil // another lkup has done it meanwhile
	}
	return apply.execute(call, execution{
		reconciler: newReconciler(call.Host, p.paths, p.dir, d.images, store),
		agreed:     func() error { return d.images.writeLockFile(call.ctx, true) },
		plan:       d.plan,
		with:       materials(p, d),
		choice:     choice,
		command:    "dev up",
		flags:      f.stackFlags,
	})
}

// withFile is a project in which one more file is.
type withFile struct {
	fs.FS
	name    string
	content []byte
}

func (w withFile) Open(name string) (fs.File, error) {
	if name == w.name {
		return &memoryFile{Reader: bytes.NewReader(w.content), name: name, size: int64(len(w.content))}, nil
	}
	return w.FS.Open(name)
}

// memoryFile is a file that lies nowhere, and its own description.
type memoryFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memoryFile) Close() error               { return nil }
func (f *memoryFile) Name() string               { return f.name }
func (f *memoryFile) Size() int64                { return f.size }
func (f *memoryFile) Mode() fs.FileMode          { return 0o444 }
func (f *memoryFile) ModTime() time.Time         { return time.Time{} }
func (f *memoryFile) IsDir() bool                { return false }
func (f *memoryFile) Sys() any                   { return nil }

type devUpCmd struct {
	devUpFlags
	applyFlags
}

// Run does what apply does, for the devenv and what it depends on, and its
// setup.
func (c *devUpCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	r, err := c.bringUp(call, w.project, w.env.Address, c.applyFlags, func(*planner.Step) bool { return false })
	if err != nil {
		return err
	}
	conn, err := dial(call, r)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := w.setUp(call, r, conn); err != nil {
		return err
	}
	fmt.Fprintf(call.Err, "%s is up, with %s at %s. Next: lkup dev shell, run, serve or test.\n", w.env.Address, w.host, spec.DevenvProject)
	return nil
}

// noDevenv is an error if the stack files of a directory have a devenv already.
func noDevenv(host Host, dir string) error {
	p, err := openProject(host, stackFlags{dirFlag: dirFlag{Dir: dir}})
	if err != nil {
		return err
	}
	defer p.close()
	for _, a := range sortedKeys(p.stack.Devenvs) {
		return fmt.Errorf("there is %s already (%s); edit that", a, p.stack.Devenvs[a].Origin)
	}
	return nil
}

type devInitCmd struct {
	dirFlag
}

// Run writes down what commands assume without it.
func (c *devInitCmd) Run(call *call) error {
	dir, err := realDir(c.Dir)
	if err != nil {
		return err
	}
	project := os.DirFS(dir)
	names, err := spec.StackFiles(project)
	if err != nil {
		return fmt.Errorf("read the project: %w", err)
	}
	name, stack := startFile, spec.StackName(filepath.Base(dir))
	if len(names) > 0 {
		name, stack = "dev.lkup.hcl", "" // whose name the others give, or the directory
		if err := noDevenv(call.Host, dir); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is already there; edit it", path)
	}
	if err != nil {
		return fmt.Errorf("write the devenv: %w", err)
	}
	_, err = f.Write(devenv.Start(project, stack, call.size().CPUs))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the devenv: %w", err)
	}
	fmt.Fprintf(call.Out, "Wrote %s. Next: lkup dev up, shell, run, serve or test.\n", path)
	return nil
}
