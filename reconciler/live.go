package reconciler

import (
	"context"
	"fmt"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// withdraw takes away the host ports that go, of a machine that runs on, so
// that others can have them.
func (u *unit) withdraw(ctx context.Context, driver drivers.Driver, i state.Instance) error {
	status, err := driver.Status(ctx, Machine(i, u.Layout, u.Project))
	if err != nil || status.State != drivers.Running {
		return err
	}
	wanted := u.wanted(i)
	kept := slices.DeleteFunc(slices.Clone(status.Ports), func(p drivers.Port) bool { return !slices.Contains(wanted.Ports, p) })
	if len(kept) == len(status.Ports) {
		return nil
	}
	wanted.Ports = kept
	return u.forward(ctx, driver, i, wanted)
}

// wanted is the instance's machine as it shall be.
func (u *unit) wanted(i state.Instance) drivers.Machine {
	i.Applied = *u.step.Want
	return Machine(i, u.Layout, u.Project)
}

func (u *unit) forward(ctx context.Context, driver drivers.Driver, i state.Instance, m drivers.Machine) error {
	forwarder, able := driver.(drivers.PortForwarder)
	if !able {
		return fmt.Errorf("driver %s cannot change ports of a running machine; plan again", i.Driver)
	}
	return u.journalled("forward", i, func() error { return forwarder.Forward(ctx, m) })
}

// change makes a running machine what is wanted of it, in place, and proves it.
func (u *unit) change(ctx context.Context, driver drivers.Driver, i state.Instance, status drivers.Status) error {
	if u.step.Live {
		if err := u.conform(ctx, driver, i, status); err != nil {
			return err
		}
		u.reached(StageChanged)
	}
	proven := i
	proven.Applied = *u.step.Want
	return u.prove(ctx, driver, proven, Machine(proven, u.Layout, u.Project))
}

// conform changes what differs, and records it once it has changed.
func (u *unit) conform(ctx context.Context, driver drivers.Driver, i state.Instance, status drivers.Status) error {
	m := u.wanted(i)
	if !sameSet(m.Ports, status.Ports) {
		if err := u.forward(ctx, driver, i, m); err != nil {
			return err
		}
	}
	if err := u.rewire(ctx, driver, i, m); err != nil {
		return err
	}
	if status.Memory != 0 && status.Memory != m.Memory {
		ballooner, able := driver.(drivers.Ballooner)
		if !able {
			return fmt.Errorf("driver %s cannot change memory of a running machine; plan again", i.Driver)
		}
		if err := u.journalled("balloon", i, func() error { return ballooner.Balloon(ctx, m) }); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(m.Volumes, func(v drivers.Volume) bool { return status.Volumes[v.Name] < v.Size && !v.ReadOnly }) {
		grower, able := driver.(drivers.VolumeGrower)
		if !able {
			return fmt.Errorf("driver %s cannot grow volumes of a running machine; plan again", i.Driver)
		}
		if err := u.journalled("grow", i, func() error { return grower.Grow(ctx, m) }); err != nil {
			return err
		}
	}
	u.adopt(&i)
	return u.Store.Put(i)
}

func sameSet(a, b []drivers.Port) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(p drivers.Port) bool { return !slices.Contains(b, p) })
}

// volumes gives an instance the records of its volumes. One that has none yet
// is recorded before its disk is made.
func (u *unit) volumes(i *state.Instance) error {
	i.Volumes = nil
	for _, mount := range i.Applied.Mounts {
		v, err := u.volume(mount.Volume)
		if err != nil {
			return err
		}
		if i.Volumes == nil {
			i.Volumes = map[spec.Address]state.Volume{}
		}
		i.Volumes[mount.Volume] = v
	}
	return nil
}

func (u *unit) volume(address spec.Address) (state.Volume, error) {
	u.ports.Lock() // two machines may be the first to want it
	defer u.ports.Unlock()
	if v, found := u.Store.State().Volumes[address]; found {
		return v, nil
	}
	wanted, found := u.with.Volumes[address]
	if !found {
		return state.Volume{}, fmt.Errorf("the plan has no %s", address)
	}
	v, err := u.newVolume(wanted)
	if err != nil {
		return v, err
	}
	return v, u.Store.PutVolume(v)
}
