package reconciler

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// volumeSteps carries out what a plan says of volumes, before any machine is
// touched. A volume that is only new is made when the first machine wants it.
func (x *execution) volumeSteps(ctx context.Context) error {
	for _, step := range x.plan.Volumes {
		if err := x.volumeStep(ctx, step); err != nil {
			return fmt.Errorf("%s %s: %w", step.Action, step.Address, err)
		}
	}
	return nil
}

func (x *execution) volumeStep(ctx context.Context, step planner.VolumeStep) error {
	switch step.Action {
	case planner.Update:
		return x.Store.MoveVolume(step.MovedFrom, step.Address)
	case planner.Forget:
		return x.Store.ReleaseVolume(step.Address)
	case planner.Import:
		return x.importVolume(ctx, step)
	}
	return nil
}

// importVolume copies a disk. The record comes last: until then the volume is
// not there, and what a crash leaves of the copy is swept away when the state is
// opened next.
func (x *execution) importVolume(ctx context.Context, step planner.VolumeStep) error {
	if _, there := x.Store.State().Volumes[step.Address]; there {
		return nil
	}
	wanted, found := x.with.Volumes[step.Address]
	if !found {
		return fmt.Errorf("the plan has no %s", step.Address)
	}
	from := step.From
	if !filepath.IsAbs(from) {
		from = filepath.Join(x.Project, from)
	}
	if err := x.Import(ctx, wanted, from); err != nil {
		return err
	}
	x.emit(Event{Address: step.Address, Kind: OpDone, Op: "import"})
	return nil
}

// Import makes a volume that is not there yet a copy of a disk, which must be
// of its format and no larger.
func (r *Reconciler) Import(ctx context.Context, wanted spec.Volume, from string) error {
	if r.Disks == nil {
		return errors.New("this program cannot copy disks")
	}
	size, err := r.Disks.Fits(ctx, from)
	if err != nil {
		return err
	}
	if size > wanted.Size {
		return fmt.Errorf("%s is a disk of %d MiB, and %s shall have %d MiB; write in its block: size = \"%[2]dMiB\"", from, size, wanted.Address, wanted.Size)
	}
	v, err := r.newVolume(wanted)
	if err != nil {
		return err
	}
	if err := r.Store.MakeVolume(v); err != nil {
		return err
	}
	if err := r.Disks.Copy(ctx, from, filepath.Join(r.Layout.Volume(v.ID), v.File()), v.Format); err != nil {
		return errors.Join(err, r.Store.UnmakeVolume(v))
	}
	return r.Store.PutVolume(v)
}

// Backup copies a volume's disk as it is at one moment. Machines that write to
// it are told to flush their caches, and held still meanwhile.
func (r *Reconciler) Backup(ctx context.Context, v state.Volume, to string) error {
	var writers []*saved
	known := r.Store.State()
	for _, address := range sorted(known.Instances) {
		i := known.Instances[address]
		if !slices.ContainsFunc(i.Applied.Mounts, func(m spec.Mount) bool { return m.Volume == v.Address && !m.ReadOnly }) || !i.Created {
			continue
		}
		m, err := r.look(ctx, i, Saving{DisksOnly: true})
		if err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
		writers = append(writers, m)
	}
	if err := r.flush(ctx, writers); err != nil {
		return err
	}
	return r.holdStill(ctx, writers, func() error { return r.clone(ctx, filepath.Join(r.Layout.Volume(v.ID), v.File()), to) })
}

// newVolume is the record of a volume that is still to be made.
func (r *Reconciler) newVolume(wanted spec.Volume) (state.Volume, error) {
	id, err := r.random(4)
	if err != nil {
		return state.Volume{}, err
	}
	return state.Volume{Address: wanted.Address, ID: id, Name: wanted.Name, Format: wanted.Format, CreatedAt: r.Now().UTC()}, nil
}

// checkSettings refuses settings that the image cannot be told, as it shows
// only once it is here. starts is the only firmware that starts its disk, if
// that is known, or sources.NoFirmware.
func checkSettings(i state.Instance, starts string) error {
	vm := i.Applied
	switch {
	case i.Guest && vm.Seed.Cloud():
		return fmt.Errorf("its image runs lkup's init, which has no use for a seed; take the seed block out%s", written(vm, "seed"))
	case i.Guest && vm.SSH.User != "":
		return fmt.Errorf("its image runs lkup's init, which takes a key of lkup's; take the ssh block out%s", written(vm, "ssh"))
	case len(i.Boot.Disks) == 0 && vm.Firmware != "":
		return fmt.Errorf("its image has a kernel, which is started without firmware; take \"firmware\" out%s", written(vm, "firmware"))
	case starts == sources.NoFirmware:
		return fmt.Errorf("its disk has nothing that could be started, neither code for a BIOS nor a partition for UEFI; use one with a boot loader%s", written(vm, "image"))
	case vm.Firmware == spec.FirmwareBIOS && starts == spec.FirmwareUEFI:
		return fmt.Errorf("its disk has nothing that a BIOS could start, only UEFI; take \"firmware\" out%s", written(vm, "firmware"))
	case vm.Firmware == spec.FirmwareUEFI && starts == spec.FirmwareBIOS:
		return fmt.Errorf("its disk has nothing that UEFI could start, only a BIOS; take \"firmware\" out%s", written(vm, "firmware"))
	}
	return nil
}

// written is where an attribute stands, to follow a sentence. A saved plan does
// not know.
func written(vm spec.VM, attribute string) string {
	if at := vm.Origin(attribute).String(); at != "" {
		return " (" + at + ")"
	}
	return ""
}

// checkMounts refuses mounts that the image cannot make.
func checkMounts(vm spec.VM, guest bool) error {
	for _, s := range vm.Shares {
		if len(s.Protected()) > 0 && !guest {
			return fmt.Errorf("a share with protected paths needs an image that runs lkup's init, and the one for %s has none; take out \"project\" and \"protect\", or write: read_only = true", s.Guest)
		}
	}
	for _, m := range vm.Mounts {
		if m.Path != "" && !guest && !vm.Seed.Cloud() {
			return fmt.Errorf("mount.path of %s needs an image that runs lkup's init, or cloud-init, for which write: seed {}; or take it out, and have the guest mount the disk, which it finds by its serial number", m.Volume)
		}
	}
	return nil
}

// format makes the disks of volumes that are mounted and were never written to.
func (u *unit) format(ctx context.Context, i state.Instance, m drivers.Machine) error {
	for n, mount := range i.Applied.Mounts {
		if mount.Path == "" || n >= len(m.Volumes) {
			continue
		}
		if u.Disks == nil {
			return errors.New("this program cannot format disks")
		}
		u.formatting.Lock() // two machines may be the first to read it
		err := u.Disks.Format(ctx, m.Volumes[n], i.Volumes[mount.Volume].ID)
		u.formatting.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}
