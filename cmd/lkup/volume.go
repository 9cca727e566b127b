package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/internal/volume"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type volumeCmd struct {
	Ls      volumeLsCmd      `cmd:"" help:"List the volumes of the stack."`
	Inspect volumeInspectCmd `cmd:"" help:"Show one volume."`
	Rm      volumeRmCmd      `cmd:"" help:"Destroy volumes that no machine has."`
	Backup  volumeBackupCmd  `cmd:"" help:"Copy a volume to a file, also while a machine runs with it."`
	Restore volumeRestoreCmd `cmd:"" help:"Replace what a volume holds by a copy of a file."`
	Import  volumeImportCmd  `cmd:"" help:"Make a volume of the stack files a copy of a disk."`
}

// disks does what lkup does to disks on the host.
func disks() volume.Disks { return volume.Disks{LookPath: exec.LookPath} }

// volumeSizes are the volumes that exist, with the sizes of their disks.
func volumeSizes(paths layout.Stack, known state.State) map[spec.Address]int {
	all := make(map[spec.Address]int, len(known.Volumes))
	for a, v := range known.Volumes {
		all[a], _, _ = volume.Size(diskPath(paths, v), v.Format) // 0 if it is not there, or cannot be read
	}
	return all
}

// unsized are volumes of which only the records are known.
func unsized(volumes map[spec.Address]state.Volume) map[spec.Address]int {
	all := make(map[spec.Address]int, len(volumes))
	for a := range volumes {
		all[a] = 0
	}
	return all
}

func diskPath(paths layout.Stack, v state.Volume) string {
	return filepath.Join(paths.Volume(v.ID), v.File())
}

// volumeRows are volumes as the view has them.
func volumeRows(paths layout.Stack, known state.State, only ...spec.Address) ([]view.VolumeRow, error) {
	rows := []view.VolumeRow{}
	for _, a := range sortedKeys(known.Volumes) {
		if len(only) > 0 && !slices.Contains(only, a) {
			continue
		}
		v := known.Volumes[a]
		row := view.VolumeRow{Address: a, ID: v.ID, Format: v.Format, CreatedAt: v.CreatedAt, Path: diskPath(paths, v), Machines: mounters(known, a)}
		var err error
		row.Size, row.Used, err = volume.Size(row.Path, v.Format)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		row.Missing = err != nil
		rows = append(rows, row)
	}
	return rows, nil
}

// mounters are the machines that have a volume.
func mounters(known state.State, a spec.Address) []spec.Address {
	all := []spec.Address{}
	for _, address := range sortedKeys(known.Instances) {
		if _, has := known.Instances[address].Volumes[a]; has {
			all = append(all, address)
		}
	}
	return all
}

// chosenVolume is the volume that a person means: volume.data, or data.
func chosenVolume(known state.State, name string) (state.Volume, error) {
	for _, a := range sortedKeys(known.Volumes) {
		if v := known.Volumes[a]; name == string(a) || "volume."+name == string(a) || name == v.Name {
			return v, nil
		}
	}
	return state.Volume{}, fmt.Errorf("stack %s has no volume %q; lkup volume ls lists them", known.Stack, name)
}

type volumeLsCmd struct {
	dirFlag
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *volumeLsCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	rows, err := volumeRows(paths, known)
	if err != nil {
		return err
	}
	if c.JSON {
		return view.VolumesJSON(call.Out, rows)
	}
	return view.Volumes(call.Out, call.outStyle(), rows)
}

type volumeInspectCmd struct {
	dirFlag
	JSON   bool   `name:"json" help:"Print JSON."`
	Volume string `arg:"" help:"The volume: volume.data, or data."`
}

func (c *volumeInspectCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	v, err := chosenVolume(known, c.Volume)
	if err != nil {
		return err
	}
	rows, err := volumeRows(paths, known, v.Address)
	if err != nil {
		return err
	}
	row := rows[0]
	if !row.Missing {
		content, err := disks().Look(call.ctx, row.Path, v.Format)
		if err != nil {
			content = "?" // a machine has it, and qemu-img may not look
		}
		row.Content = string(content)
	}
	if c.JSON {
		return view.VolumesJSON(call.Out, []view.VolumeRow{row})
	}
	return view.Volume(call.Out, call.outStyle(), row)
}

type volumeRmCmd struct {
	dirFlag
	lockFlags
	yesFlag
	Volumes []string `arg:"" name:"volume" help:"The volumes."`
}

func (c *volumeRmCmd) Run(call *call) error {
	paths, store, err := lockApplied(call, c.dirFlag, c.lockFlags, "volume rm")
	if err != nil {
		return err
	}
	defer store.Close()
	known := store.State()
	var doomed []spec.Address
	for _, name := range c.Volumes {
		v, err := chosenVolume(known, name)
		if err != nil {
			return err
		}
		if by := mounters(known, v.Address); len(by) > 0 {
			return fmt.Errorf("%s has %s; take its mount out of the stack files and apply, or type lkup down, first", view.List(by), v.Address)
		}
		doomed = append(doomed, v.Address)
	}
	rows, err := volumeRows(paths, known, doomed...)
	if err != nil {
		return err
	}
	if !c.Yes {
		if err := confirm(call, "this destroys "+view.VolumeSizes(rows)); err != nil {
			return err
		}
	}
	return removeVolumes(call, store, doomed)
}

func removeVolumes(call *call, store *state.Store, doomed []spec.Address) error {
	for _, a := range doomed {
		if err := store.RemoveVolume(a); err != nil {
			return err
		}
		fmt.Fprintf(call.Out, "%s is removed\n", a)
	}
	return nil
}

// lockApplied locks the stack that was applied in a project.
func lockApplied(call *call, dir dirFlag, lock lockFlags, command string) (layout.Stack, *state.Store, error) {
	paths, known, err := applied(call.Host, dir)
	if err != nil {
		return paths, nil, err
	}
	store, err := lockStack(call, paths, known.Stack, known.Project, command, lock)
	return paths, store, err
}

type volumeBackupCmd struct {
	dirFlag
	lockFlags
	Volume string `arg:"" help:"The volume: volume.data, or data."`
	File   string `arg:"" help:"The new file; its name ends in .raw, .img or .qcow2, which is compressed."`
}

// Run holds the machines still that write to the volume, for as long as it
// takes to copy it.
func (c *volumeBackupCmd) Run(call *call) error {
	format, err := formatOf(c.File)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(c.File); err == nil {
		return fmt.Errorf("%s is there already; name another file", c.File)
	}
	_, store, err := lockApplied(call, c.dirFlag, c.lockFlags, "volume backup")
	if err != nil {
		return err
	}
	defer store.Close()
	known := store.State()
	v, err := chosenVolume(known, c.Volume)
	if err != nil {
		return err
	}
	paths := call.Layout().Stack(known.Stack, known.Project)
	r := newReconciler(call.Host, paths, known.Project, nil, store)
	r.Emit = warnings(call)
	dir, err := os.MkdirTemp(filepath.Dir(c.File), "."+filepath.Base(c.File)+".*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	copied, whole := filepath.Join(dir, "copied"), filepath.Join(dir, "whole")
	if err := r.Backup(call.ctx, v, copied); err != nil {
		return fmt.Errorf("back up %s: %w", v.Address, err)
	}
	if err := disks().Convert(call.ctx, copied, v.Format, whole, format, true); err != nil {
		return fmt.Errorf("back up %s: %w", v.Address, err)
	}
	if err := os.Rename(whole, c.File); err != nil {
		return err
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(call.Err, "%s is in %s, %s.\n", v.Address, c.File, view.Bytes(volume.Used(info)))
	return nil
}

// formatOf is the format that a file's name asks for.
func formatOf(file string) (string, error) {
	switch filepath.Ext(file) {
	case ".raw", ".img":
		return "raw", nil
	case ".qcow2":
		return "qcow2", nil
	}
	return "", usageError{fmt.Sprintf("%s: end its name in .qcow2, .raw or .img, for the format to write", file)}
}

type volumeRestoreCmd struct {
	dirFlag
	lockFlags
	yesFlag
	Volume string `arg:"" help:"The volume: volume.data, or data."`
	File   string `arg:"" help:"A disk, raw or qcow2, such as lkup volume backup writes."`
}

func (c *volumeRestoreCmd) Run(call *call) error {
	paths, store, err := lockApplied(call, c.dirFlag, c.lockFlags, "volume restore")
	if err != nil {
		return err
	}
	defer store.Close()
	known := store.State()
	v, err := chosenVolume(known, c.Volume)
	if err != nil {
		return err
	}
	now, err := reconciler.Observe(call.ctx, known, paths, allDrivers(call.Host))
	if err != nil {
		return err
	}
	for _, a := range mounters(known, v.Address) {
		if s := now[a].Status.State; s != drivers.Stopped && s != drivers.Absent {
			return fmt.Errorf("%s is %s and has %s; type lkup stop %s first", a, s, v.Address, known.Instances[a].Applied.Name)
		}
	}
	rows, err := volumeRows(paths, known, v.Address)
	if err != nil {
		return err
	}
	size, err := disks().Fits(call.ctx, c.File)
	if err != nil {
		return err
	}
	if has := knownSize(known, rows[0]); has > 0 && size > has {
		return fmt.Errorf("%s is a disk of %s, and %s has %s; write size = \"%dMiB\" or more in its block, apply, and restore again",
			c.File, view.MiB(size), v.Address, view.MiB(has), size)
	}
	if !c.Yes && !rows[0].Missing {
		if err := confirm(call, fmt.Sprintf("this replaces what is in %s by %s", view.VolumeSizes(rows), c.File)); err != nil {
			return err
		}
	}
	if err := store.MakeVolume(v); err != nil {
		return err
	}
	if err := disks().Take(call.ctx, c.File, diskPath(paths, v), v.Format); err != nil {
		return fmt.Errorf("restore %s: %w", v.Address, err)
	}
	fmt.Fprintf(call.Err, "%s holds a copy of %s.\n", v.Address, c.File)
	return nil
}

// knownSize is how large a volume is, in MiB, or, if its disk is not there, was for
// the machines that have it; 0 if that is not known.
func knownSize(known state.State, row view.VolumeRow) int {
	size := row.Size
	for _, a := range row.Machines {
		for _, m := range known.Instances[a].Applied.Mounts {
			if row.Missing && m.Volume == row.Address {
				size = max(size, m.Size)
			}
		}
	}
	return size
}

type volumeImportCmd struct {
	stackFlags
	lockFlags
	File   string `arg:"" help:"A disk, raw or qcow2."`
	Volume string `arg:"" help:"The volume, of the stack files and not there yet: volume.data, or data."`
}

func (c *volumeImportCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	if err != nil {
		return err
	}
	defer p.close()
	address := spec.Address(c.Volume)
	if address.Kind() != "volume" {
		address = spec.Address("volume." + c.Volume)
	}
	wanted, found := p.stack.Volumes[address]
	if !found {
		return fmt.Errorf("the stack files have no %s; write its block first: volume %q { size = \"...\" }", address, c.Volume)
	}
	store, err := lockStack(call, p.paths, p.stack.Name, p.dir, "volume import", c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, there := store.State().Volumes[address]; there {
		return fmt.Errorf("there is a %s already; to replace what it holds: lkup volume restore %s %s", address, wanted.Name, c.File)
	}
	r := newReconciler(call.Host, p.paths, p.dir, nil, store)
	if err := r.Import(call.ctx, wanted, c.File); err != nil {
		return fmt.Errorf("import %s: %w", address, err)
	}
	fmt.Fprintf(call.Err, "%s holds a copy of %s.\n", address, c.File)
	return nil
}
