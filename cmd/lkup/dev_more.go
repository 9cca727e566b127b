package main

import (
	"fmt"
	"slices"

	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// rows are those of the devenv's machines.
func (w *workplace) rows(call *call) ([]view.PsRow, error) {
	paths := w.project.paths
	known, err := state.Read(paths)
	if err != nil {
		return nil, err
	}
	now, err := reconciler.Observe(call.ctx, known, paths, allDrivers(call.Host))
	if err != nil {
		return nil, err
	}
	rows := psRows(known, now, readHealth(paths), call.Now())
	return slices.DeleteFunc(rows, func(r view.PsRow) bool { return !w.env.Address.Covers(r.Address) }), nil
}

// there is the machine, if it was made.
func (w *workplace) there(call *call) (reached, error) {
	known, err := state.Read(w.project.paths)
	if err != nil {
		return reached{}, err
	}
	if _, found := known.Instances[w.env.Address]; !found {
		return reached{}, fmt.Errorf("%s is not up; type: lkup dev up", w.env.Address)
	}
	return pick(call.Host, w.project.paths, known, string(w.env.Address))
}

type devDownCmd struct {
	devFlags
	applyFlags
	Volumes bool `name:"volumes" help:"Destroy the stack's volumes, too, the caches among them. It asks, with their sizes, unless -y. Only where the stack is nothing but this devenv."`
}

// Run takes down the devenv's machines. If that is all of the stack, nothing is
// left to remember.
func (c *devDownCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	known, err := state.Read(w.project.paths)
	if err != nil {
		return err
	}
	all := true
	found := false
	for a := range known.Instances {
		mine := w.env.Address.Covers(a)
		all, found = all && mine, found || mine
	}
	if !found && !c.Volumes {
		fmt.Fprintf(call.Out, "%s is not up.\n", w.env.Address)
		return nil
	}
	down := downCmd{dirFlag: dirFlag{Dir: w.project.dir}, applyFlags: c.applyFlags, Volumes: c.Volumes}
	switch {
	case all:
	case c.Volumes:
		return usageError{"the stack has other machines; to destroy volumes of this devenv, take it down, and type lkup volume rm"}
	default:
		down.Target = []spec.Address{w.env.Address}
	}
	return down.Run(call)
}

type devSSHConfigCmd struct {
	devFlags
}

// Run prints what ssh -F understands, and so what editors do.
func (c *devSSHConfigCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	r, err := w.there(call)
	if err != nil {
		return err
	}
	if !r.instance.Enterable() {
		return fmt.Errorf("%s runs an image that takes no key of lkup's", w.env.Address)
	}
	stanza, err := ssh.Config(r.machine, r.instance.Applied.Name)
	if err != nil {
		return err
	}
	fmt.Fprint(call.Out, stanza)
	return nil
}

// devLogsCmd has -f for what it means to logs, so that --file is long.
type devLogsCmd struct {
	dirFlag
	File string `name:"file" placeholder:"FILE" help:"Read this stack file alone; its directory is the project."`
	valueFlags
	Devenv string       `name:"devenv" placeholder:"NAME" help:"Which devenv, where the stack has several."`
	Follow bool         `short:"f" help:"Go on as the guest writes."`
	Since  durationFlag `name:"since" placeholder:"DURATION" help:"Leave out what is older, such as 10m."`
	Tail   int          `short:"n" name:"tail" default:"-1" placeholder:"N" help:"Show the last N lines."`
}

func (c *devLogsCmd) Run(call *call) error {
	flags := devFlags{stackFlags{c.dirFlag, c.File, c.valueFlags}, c.Devenv}
	w, err := flags.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.there(call); err != nil {
		return err
	}
	logs := logsCmd{dirFlag: dirFlag{Dir: w.project.dir}, VMs: []string{string(w.env.Address)}, Follow: c.Follow, Since: c.Since, Tail: c.Tail}
	return logs.Run(call)
}
