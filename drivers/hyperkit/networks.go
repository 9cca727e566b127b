package hyperkit

import (
	"context"

	"github.com/lkup/lkup/drivers"
)

// plug has the switch carry the machine before it starts.
func (d *Driver) plug(ctx context.Context, m drivers.Machine, start func() error) error {
	return drivers.PlugFor(ctx, d.settings.Switch, m, start, func(error) bool { return ctx.Err() == nil })
}

// Rewire implements [drivers.Rewirer].
func (d *Driver) Rewire(ctx context.Context, m drivers.Machine) error {
	_, state, err := find(ctx, m)
	if err != nil {
		return err
	}
	return drivers.Replug(ctx, d.settings.Switch, m, state)
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
