package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/sources/file"
	"github.com/lkup/lkup/spec"
)

// imports adds to what was observed the machines that import blocks adopt, and
// looks at the disks that they name. What was imported once is not looked at
// again.
func (d decider) imports(ctx context.Context, known state.State, now planner.Inventory) error {
	p := d.project
	for _, i := range p.stack.Imports {
		var err error
		switch _, there := known.Instances[i.To]; {
		case i.To.Kind() == "volume":
			err = d.checkDisk(i, known)
		case !there:
			now[i.To], err = d.adopted(ctx, i)
		}
		if err != nil {
			return fmt.Errorf("import %s (%s): %w", i.To, i.Origin, err)
		}
	}
	return nil
}

// checkDisk finds out at plan time what a copy would trip over.
func (d decider) checkDisk(i spec.Import, known state.State) error {
	if _, there := known.Volumes[i.To]; there {
		return nil
	}
	path := i.From
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.project.dir, path)
	}
	kind, err := file.DiskFormat(path)
	if err != nil {
		return err
	}
	if v := d.project.stack.Volumes[i.To]; v.Format != kind {
		return fmt.Errorf("%s is %s, and %s is %s; write there: format = %q", i.From, kind, i.To, v.Format, kind)
	}
	return nil
}

// adopted is the machine that a directory describes, as it is now.
func (d decider) adopted(ctx context.Context, i spec.Import) (planner.Instance, error) {
	dir := i.From
	if len(dir) == 8 && filepath.Base(dir) == dir { // an ID of this stack
		dir = d.project.paths.Instance(dir)
	} else if !filepath.IsAbs(dir) {
		dir = filepath.Join(d.project.dir, dir)
	}
	found, err := state.ReadManifest(dir)
	if err != nil {
		return planner.Instance{}, err
	}
	driver, there := allDrivers(d.host)[found.Driver]
	if !there {
		return planner.Instance{}, fmt.Errorf("it was made by driver %q, which this lkup does not have", found.Driver)
	}
	paths := d.host.Layout().Stack(found.Stack, found.Project)
	status := drivers.Status{State: drivers.Stopped}
	if paths.Instance(found.ID) == dir { // it lies where it was made, so it may run
		if status, err = driver.Status(ctx, reconciler.Machine(found, paths, found.Project)); err != nil {
			return planner.Instance{}, err
		}
		if status.State != drivers.Stopped && paths.Dir != d.project.paths.Dir {
			return planner.Instance{}, fmt.Errorf("it is %s in stack %s; let that stack stop it first: set running = false there", status.State, found.Stack)
		}
	}
	if paths.Dir != d.project.paths.Dir && len(found.Volumes) > 0 {
		return planner.Instance{}, fmt.Errorf("it has volumes of stack %s; import their disks instead, and make the machine anew", found.Stack)
	}
	found.Address, found.Applied.Address = i.To, i.To
	instance := reconciler.Observed(found, status)
	instance.ImportedFrom = dir
	return instance, nil
}
