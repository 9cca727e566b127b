package reconciler

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
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
// not there, and what a crash leaves of the copy is replaced by the next try.
func (x *execution) importVolume(ctx context.Context, step planner.VolumeStep) error {
	if _, there := x.Store.State().Volumes[step.Address]; there {
		return nil
	}
	if x.Disks == nil {
		return errors.New("this program cannot copy disks")
	}
	v, err := x.newVolume(step.Address)
	if err != nil {
		return err
	}
	from := step.From
	if !filepath.IsAbs(from) {
		from = filepath.Join(x.Project, from)
	}
	if err := x.Store.MakeVolume(v); err != nil {
		return err
	}
	if err := x.Disks.Copy(ctx, from, filepath.Join(x.Layout.Volume(v.ID), v.File()), v.Format); err != nil {
		return errors.Join(err, x.Store.UnmakeVolume(v))
	}
	x.emit(Event{Address: step.Address, Kind: OpDone, Op: "import"})
	return x.Store.PutVolume(v)
}

// newVolume is the record of a volume that is still to be made.
func (x *execution) newVolume(address spec.Address) (state.Volume, error) {
	wanted, found := x.with.Volumes[address]
	if !found {
		return state.Volume{}, fmt.Errorf("the plan has no %s", address)
	}
	id, err := x.random(4)
	if err != nil {
		return state.Volume{}, err
	}
	return state.Volume{Address: address, ID: id, Name: wanted.Name, Format: wanted.Format, CreatedAt: x.Now().UTC()}, nil
}

// checkMounts refuses mounts that the image cannot make.
func checkMounts(mounts []spec.Mount, guest bool) error {
	for _, m := range mounts {
		if m.Path != "" && !guest {
			return fmt.Errorf("mount.path of %s needs an image that runs lkup's init; take it out, and have the guest mount the disk, which it finds by its serial number", m.Volume)
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
