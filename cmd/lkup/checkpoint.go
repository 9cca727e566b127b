package main

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/internal/volume"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type checkpointCmd struct {
	Save    checkpointSaveCmd    `cmd:"" help:"Save all machines, with their memory, and all volumes, as they are at one moment."`
	Ls      checkpointLsCmd      `cmd:"" help:"List the checkpoints of the stack."`
	Restore checkpointRestoreCmd `cmd:"" help:"Make machines and volumes what they were."`
	Rm      checkpointRmCmd      `cmd:"" help:"Remove checkpoints."`
}

type snapshotCmd struct {
	Save    snapshotSaveCmd    `cmd:"" help:"Save one machine, with its memory, and its volumes."`
	Ls      snapshotLsCmd      `cmd:"" help:"List the snapshots of one machine, or of all."`
	Restore snapshotRestoreCmd `cmd:"" help:"Make a machine and its volumes what they were."`
	Rm      snapshotRmCmd      `cmd:"" help:"Remove snapshots of a machine."`
}

// saveFlags say what is saved.
type saveFlags struct {
	lockFlags
	DisksOnly bool `name:"disks-only" help:"Leave out what machines have in memory."`
	Secrets   bool `name:"with-secrets" help:"Save the memory of machines that were given secrets, too: it holds them."`
}

// yesFlag answers a question in advance.
type yesFlag struct {
	Yes bool `name:"auto-approve" short:"y" help:"Do not ask before anything is lost."`
}

type checkpointSaveCmd struct {
	dirFlag
	saveFlags
	Name string `arg:"" optional:"" help:"What to call it; the time by default."`
}

func (c *checkpointSaveCmd) Run(call *call) error {
	return c.save(call, c.dirFlag, "checkpoint save", "", c.Name)
}

type snapshotSaveCmd struct {
	dirFlag
	saveFlags
	VM   string `arg:"" predictor:"vm" help:"The machine: web, web-blue or vm.web[\"blue\"]."`
	Name string `arg:"" optional:"" help:"What to call it; the time by default."`
}

func (c *snapshotSaveCmd) Run(call *call) error {
	return c.save(call, c.dirFlag, "snapshot save", c.VM, c.Name)
}

// save makes a checkpoint, or a snapshot if vm names a machine.
func (c *saveFlags) save(call *call, dir dirFlag, command, vm, name string) error {
	paths, known, err := applied(call.Host, dir)
	if err != nil {
		return err
	}
	saving := reconciler.Saving{Name: name, Version: version, DisksOnly: c.DisksOnly, Secrets: c.Secrets}
	if name == "" {
		saving.Name = call.Now().UTC().Format("20060102-150405")
	}
	if err := state.CheckName(saving.Name); err != nil {
		return usageError{err.Error()}
	}
	if vm != "" {
		r, err := pick(call.Host, paths, known, vm)
		if err != nil {
			return err
		}
		saving.Of = r.instance.Address
	}
	store, err := lockStack(call, paths, known.Stack, known.Project, command, c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	r := newReconciler(call.Host, paths, known.Project, nil, store)
	r.Emit = warnings(call)
	what, err := r.Prepare(call.ctx, saving)
	if err != nil {
		return err
	}
	if err := view.Saving(call.Err, call.errStyle(), savedRows(what)); err != nil {
		return err
	}
	began := call.Now()
	saved, err := r.Save(call.ctx, saving)
	if err != nil {
		return err
	}
	size, err := folderSize(state.CheckpointDir(paths, saved.Of, saved.Name))
	if err != nil {
		return err
	}
	fmt.Fprintf(call.Out, "%s\n", saved.Name)
	fmt.Fprintf(call.Err, "Saved in %s, %s.\n", view.Duration(call.Now().Sub(began)), view.Bytes(size))
	return nil
}

// warnings shows what is told while no plan is carried out.
func warnings(call *call) func(reconciler.Event) {
	return func(e reconciler.Event) {
		if e.Kind == reconciler.Warning {
			fmt.Fprintf(call.Err, "%s: %s\n", e.Address, view.Clean(e.Detail))
		}
	}
}

// savedRows are the machines of a checkpoint as the view has them.
func savedRows(c state.Checkpoint) []view.SavedMachine {
	var rows []view.SavedMachine
	for _, address := range sortedKeys(c.Machines) {
		m := c.Machines[address]
		rows = append(rows, view.SavedMachine{Address: address, Running: m.Running, Memory: m.Memory, Why: m.Why})
	}
	return rows
}

type checkpointLsCmd struct {
	dirFlag
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *checkpointLsCmd) Run(call *call) error {
	paths, _, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	return listCheckpoints(call, paths, []spec.Address{""}, c.JSON)
}

type snapshotLsCmd struct {
	dirFlag
	JSON bool   `name:"json" help:"Print JSON."`
	VM   string `arg:"" optional:"" predictor:"vm" help:"The machine; all by default."`
}

func (c *snapshotLsCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	of, err := state.Snapshotted(paths)
	if c.VM != "" && err == nil {
		of = []spec.Address{snapshotted(known, c.VM)}
	}
	if err != nil {
		return err
	}
	return listCheckpoints(call, paths, of, c.JSON)
}

// snapshotted is the address that a person means by a machine's name. The
// machine need not be there any more.
func snapshotted(known state.State, name string) spec.Address {
	for _, address := range sortedKeys(known.Instances) {
		if means(name, known.Instances[address]) {
			return address
		}
	}
	if spec.Address(name).Kind() == "vm" {
		return spec.Address(name)
	}
	return spec.Address("vm." + name)
}

func listCheckpoints(call *call, paths layout.Stack, of []spec.Address, json bool) error {
	rows := []view.CheckpointRow{}
	for _, address := range of {
		all, err := state.Checkpoints(paths, address)
		if err != nil {
			return err
		}
		for _, c := range all {
			size, err := folderSize(state.CheckpointDir(paths, c.Of, c.Name))
			if err != nil {
				return err
			}
			rows = append(rows, view.CheckpointRow{
				Name: c.Name, Of: c.Of, CreatedAt: c.CreatedAt, Machines: savedRows(c), Volumes: sortedKeys(c.Volumes), Size: size,
			})
		}
	}
	if json {
		return view.CheckpointsJSON(call.Out, rows)
	}
	return view.Checkpoints(call.Out, call.outStyle(), rows)
}

// folderSize is what the files in a folder take of the disk, in bytes.
func folderSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += volume.Used(info)
		}
		return err
	})
	return size, err
}

type checkpointRestoreCmd struct {
	stackFlags
	lockFlags
	yesFlag
	Name string `arg:"" help:"The checkpoint; lkup checkpoint ls lists them."`
}

func (c *checkpointRestoreCmd) Run(call *call) error {
	return restoration{c.stackFlags, c.lockFlags, c.yesFlag}.run(call, "checkpoint restore", "", c.Name)
}

type snapshotRestoreCmd struct {
	stackFlags
	lockFlags
	yesFlag
	VM   string `arg:"" predictor:"vm" help:"The machine."`
	Name string `arg:"" help:"The snapshot; lkup snapshot ls lists them."`
}

func (c *snapshotRestoreCmd) Run(call *call) error {
	return restoration{c.stackFlags, c.lockFlags, c.yesFlag}.run(call, "snapshot restore", c.VM, c.Name)
}

// restoration are the flags of what restores.
type restoration struct {
	stackFlags
	lockFlags
	yesFlag
}

func (c restoration) run(call *call, command, vm, name string) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	of := spec.Address("")
	if vm != "" {
		of = snapshotted(known, vm)
	}
	saved, err := state.ReadCheckpoint(paths, of, name)
	if err != nil {
		return err
	}
	store, err := lockStack(call, paths, known.Stack, known.Project, command, c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := c.ask(call, store.State(), saved); err != nil {
		return err
	}
	r := newReconciler(call.Host, paths, known.Project, nil, store)
	r.Emit = warnings(call)
	began := call.Now()
	cold, err := r.Restore(call.ctx, saved)
	if err != nil {
		return err
	}
	for _, group := range bySources(store.State(), cold) {
		again := startApplied{call: call, flags: c.stackFlags, paths: paths, store: store, addresses: group}
		if err := again.run(call.ctx, &applyFlags{}); err != nil {
			return err
		}
	}
	fmt.Fprintf(call.Err, "Restored %s of %s in %s.\n", saved.Name, view.Time(saved.CreatedAt), view.Duration(call.Now().Sub(began)))
	return ensureSupervisor(call.Host, paths, store.State(), c.stackFlags)
}

// ask lets a person decide before the present is lost.
func (c restoration) ask(call *call, known state.State, saved state.Checkpoint) error {
	doomed := reconciler.Affected(known, saved)
	for _, a := range sortedKeys(saved.Volumes) {
		if _, there := known.Volumes[a]; there {
			doomed = append(doomed, a)
		}
	}
	if len(doomed) == 0 || c.Yes {
		return nil
	}
	return confirm(call, fmt.Sprintf("this takes %s back to %s, and what they are now is lost", view.List(doomed), view.Time(saved.CreatedAt)))
}

// confirm asks, where there is somebody to answer.
func confirm(call *call, what string) error {
	if !call.TTY.In {
		return fmt.Errorf("%s; to do it without being asked, add -y", what)
	}
	fmt.Fprintf(call.Err, "%s. Go on? Only \"yes\" is taken: ", view.Sentence(what))
	answer, err := readLine(call.ctx, call.In)
	if err != nil {
		return err
	}
	if answer != "yes" {
		return errRefused
	}
	return nil
}

type checkpointRmCmd struct {
	dirFlag
	lockFlags
	yesFlag
	Names []string `arg:"" name:"name" help:"The checkpoints."`
}

func (c *checkpointRmCmd) Run(call *call) error {
	return removeCheckpoints(call, c.dirFlag, c.lockFlags, c.yesFlag, "checkpoint rm", "", c.Names)
}

type snapshotRmCmd struct {
	dirFlag
	lockFlags
	yesFlag
	VM    string   `arg:"" predictor:"vm" help:"The machine."`
	Names []string `arg:"" name:"name" help:"The snapshots."`
}

func (c *snapshotRmCmd) Run(call *call) error {
	return removeCheckpoints(call, c.dirFlag, c.lockFlags, c.yesFlag, "snapshot rm", c.VM, c.Names)
}

func removeCheckpoints(call *call, dir dirFlag, lock lockFlags, yes yesFlag, command, vm string, names []string) error {
	paths, known, err := applied(call.Host, dir)
	if err != nil {
		return err
	}
	of := spec.Address("")
	if vm != "" {
		of = snapshotted(known, vm)
	}
	var total int64
	for _, name := range names {
		if _, err := state.ReadCheckpoint(paths, of, name); err != nil {
			return err
		}
		size, err := folderSize(state.CheckpointDir(paths, of, name))
		if err != nil {
			return err
		}
		total += size
	}
	store, err := lockStack(call, paths, known.Stack, known.Project, command, lock)
	if err != nil {
		return err
	}
	defer store.Close()
	if !yes.Yes {
		if err := confirm(call, fmt.Sprintf("this removes %s, %s", view.List(names), view.Bytes(total))); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := store.RemoveCheckpoint(of, name); err != nil {
			return err
		}
		fmt.Fprintf(call.Out, "%s is removed\n", name)
	}
	return nil
}
