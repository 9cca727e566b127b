package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/lease"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/spec"
)

// dirFlag chooses the project.
type dirFlag struct {
	Dir string `short:"C" name:"dir" placeholder:"DIR" default:"." help:"The project's directory."`
}

// stackFlags choose and parametrise the stack files.
type stackFlags struct {
	dirFlag
	File string `short:"f" placeholder:"FILE" help:"Read this stack file alone; its directory is the project."`
	valueFlags
}

// valueFlags parametrise the stack files.
type valueFlags struct {
	Var     givenFlags `name:"var" placeholder:"NAME=VALUE" help:"Set a variable. May be repeated; of this and --var-file, the later wins."`
	VarFile givenFlags `name:"var-file" placeholder:"FILE" help:"Read variables from a file. May be repeated."`
	Profile []string   `name:"profile" env:"LKUP_PROFILES" placeholder:"NAME" help:"Switch on the members of a profile. May be repeated."`
}

// lockFlags say how to wait for another lkup.
type lockFlags struct {
	LockTimeout durationFlag `name:"lock-timeout" placeholder:"DURATION" default:"0s" help:"How long to wait for another lkup that works on this stack."`
}

// invalidStack is stack files with mistakes.
type invalidStack struct {
	diags hcl.Diagnostics
	files map[string]*hcl.File
}

func (e *invalidStack) Error() string { return e.diags.Error() }

// project is one directory with stack files, and what they ask for.
type project struct {
	dir    string // absolute, without symlinks
	root   *os.Root
	inputs spec.Inputs

	// files are read in place of root, if set.
	files fs.FS

	stack   *spec.Stack
	paths   layout.Stack
	host    Host
	sources map[string]*hcl.File
}

// openProject evaluates the stack files. With the stack's state at hand, ports
// chosen earlier are known.
func openProject(host Host, flags stackFlags) (*project, error) {
	return openProjectOr(host, flags, nil)
}

// openProjectOr does the same; start, if not nil, makes the stack file of a
// project that has none.
func openProjectOr(host Host, flags stackFlags, start func(project fs.FS) []byte) (*project, error) {
	dir, only, err := flags.project(host)
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(dir) // another path under a lease alone
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the project: %w", err)
	}
	values, err := given(root.FS(), flags)
	if err != nil {
		root.Close()
		return nil, err
	}
	p := &project{dir: dir, root: root, host: host, inputs: spec.Inputs{
		Files:         only,
		DefaultName:   filepath.Base(real),
		Version:       version,
		Drivers:       driverNames(host),
		Sources:       sourceSchemes(),
		Arch:          host.Arch,
		Builtins:      linuxkit.Builtins(),
		UserTemplates: openUserTemplates(host).names(),
		EnvVars:       envVars(host.Environ),
		Given:         values,
		Profiles:      flags.Profile,
	}}
	if start != nil {
		p.files = withFile{FS: root.FS(), name: startFile, content: start(root.FS())}
		p.inputs.Files = []string{startFile}
	}
	if err := p.evaluate(spec.Facts{}, true); err != nil {
		root.Close()
		return nil, err
	}
	p.paths = host.Layout().Stack(p.stack.Name, dir)
	return p, nil
}

// project is the project's directory, and the stack files if they are named.
func (f stackFlags) project(host Host) (dir string, only []string, err error) {
	dirname := f.Dir
	if f.File != "" {
		dirname, only = filepath.Dir(f.File), []string{filepath.Base(f.File)}
		if f.Dir != "." && !filepath.IsAbs(f.File) {
			dirname = filepath.Join(f.Dir, dirname)
		}
	}
	dir, err = projectDir(host, dirname)
	return dir, only, err
}

// projectDir is the identity of the project in a directory: its real path, or
// under a lease the lease's.
func projectDir(host Host, dirname string) (string, error) {
	if abs, err := filepath.Abs(dirname); err == nil && filepath.Dir(abs) == host.Layout().Runs() {
		return abs, nil
	}
	dir, err := realDir(dirname)
	if err != nil {
		return "", err
	}
	name := host.Getenv(lease.Env)
	if name == "" {
		return dir, nil
	}
	under, leased, err := lease.Of(host.Layout(), name, dir)
	if err != nil || !leased {
		return dir, err
	}
	return under, nil
}

func (p *project) close() { p.root.Close() }

// evaluate loads the stack anew, with what is now known.
func (p *project) evaluate(facts spec.Facts, warn bool) error {
	inputs := p.inputs
	inputs.Facts = facts
	project := p.files
	if project == nil {
		project = p.root.FS()
	}
	stack, files, diags := spec.Load(project, inputs)
	p.sources = files
	if diags.HasErrors() {
		return &invalidStack{diags: diags, files: files}
	}
	if warn && len(diags) > 0 {
		view.Diagnostics(p.host.Err, p.host.errStyle(), files, diags)
	}
	p.stack = stack
	chooseShares(p.host, stack)
	return nil
}

// realDir is the absolute path of a directory, without symlinks: the identity
// of a project.
func realDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no directory %s; name the project's with -C DIR", abs)
	}
	return real, err
}

// envVars collects LKUP_VAR_x.
func envVars(environ []string) map[string]string {
	vars := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if name, found := strings.CutPrefix(name, "LKUP_VAR_"); found {
			vars[name] = value
		}
	}
	return vars
}

// applied finds the state of the project in dir without reading its stack
// files, so that machines can be reached, and removed, while those are broken.
func applied(host Host, flags dirFlag) (layout.Stack, state.State, error) {
	dir, err := projectDir(host, flags.Dir)
	if err != nil {
		return layout.Stack{}, state.State{}, err
	}
	stacks, err := state.Of(host.Layout(), dir)
	if err != nil {
		return layout.Stack{}, state.State{}, err
	}
	var found []state.State
	for _, paths := range stacks {
		s, err := state.Read(paths)
		if err != nil {
			return layout.Stack{}, state.State{}, err
		}
		if s.Project == dir { // no folder without a state
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return layout.Stack{}, state.State{}, fmt.Errorf("no stack of %s was applied on this computer; type lkup apply, or name another project with -C DIR", dir)
	case 1:
		return host.Layout().Stack(found[0].Stack, dir), found[0], nil
	}
	return newestNamed(host, dir, found)
}

// newestNamed settles which of several stacks of one directory is meant: the
// one that the stack files name.
func newestNamed(host Host, dir string, found []state.State) (layout.Stack, state.State, error) {
	p, err := openProject(host, stackFlags{dirFlag: dirFlag{Dir: dir}})
	if err != nil {
		return layout.Stack{}, state.State{}, err
	}
	defer p.close()
	for _, s := range found {
		if s.Stack == p.stack.Name {
			return p.paths, s, nil
		}
	}
	return layout.Stack{}, state.State{}, fmt.Errorf("stack %s was not applied yet; type lkup apply", p.stack.Name)
}
