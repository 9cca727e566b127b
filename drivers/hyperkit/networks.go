package hyperkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/lkup/lkup/drivers"
)

// plug has the stack's switch carry the machine before it starts, and take it
// off again if it does not.
func (d *Driver) plug(ctx context.Context, m drivers.Machine, start func() error) error {
	if len(m.NICs) == 0 {
		return start()
	}
	if d.settings.Switch == nil {
		return errors.New("this driver was given no switch for the stack's networks")
	}
	if err := d.settings.Switch.Plug(ctx, m); err != nil {
		return err
	}
	err := start()
	if err != nil && ctx.Err() == nil { // else it may still be on its way up
		err = errors.Join(err, d.settings.Switch.Unplug(ctx, m))
	}
	return err
}

// unplug takes a machine off that has ended.
func (d *Driver) unplug(ctx context.Context, m drivers.Machine) error {
	if len(m.NICs) == 0 || d.settings.Switch == nil {
		return nil
	}
	return d.settings.Switch.Unplug(ctx, m)
}

// Rewire tells the switch how the machine is now, ports included.
func (d *Driver) Rewire(ctx context.Context, m drivers.Machine) error {
	if len(m.NICs) == 0 {
		return nil
	}
	if _, state, err := find(ctx, m); err != nil || state != drivers.Running {
		if err == nil {
			err = fmt.Errorf("%s does not run", m.Address)
		}
		return err
	}
	return d.plug(ctx, m, func() error { return nil })
}

// switchedPorts are the host ports that the switch holds for the machine, those
// that were asked for first. None, if nothing answers: then nothing is forwarded.
func (d *Driver) switchedPorts(ctx context.Context, m drivers.Machine) []drivers.Port {
	if d.settings.Switch == nil {
		return nil
	}
	ports, err := d.settings.Switch.Ports(ctx, m)
	if err != nil {
		return nil
	}
	return drivers.InOrder(ports, m.Ports)
}

// sockets are those that the keeper makes for the machine's networks.
func sockets(m drivers.Machine) []string {
	var all []string
	for n := range wiringOf(m).wires {
		all = append(all, vpnkitPath(m, n))
	}
	for _, nic := range m.NICs {
		all = append(all, nic.Socket)
	}
	return all
}
