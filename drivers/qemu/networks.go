package qemu

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/lkup/lkup/drivers"
)

// networkArgs are a machine's network devices: one for each network of its
// stack, or QEMU's own network.
func networkArgs(m drivers.Machine) []string {
	if len(m.NICs) == 0 {
		return []string{"-netdev", userNet(m.Ports, m.Isolated), "-device", "virtio-net-pci,netdev=user0,romfile=,mac=" + m.MAC}
	}
	var a []string
	for n, nic := range m.NICs {
		id := "net" + strconv.Itoa(n)
		// QEMU sends each frame to the path, whoever has bound it by then: a
		// switch that is started anew needs no word of QEMU's.
		a = append(a,
			"-netdev", "dgram,id="+id+",local.type=unix,local.path="+escape(nic.Socket)+",remote.type=unix,remote.path="+escape(nic.Switch),
			"-device", "virtio-net-pci,netdev="+id+",romfile=,host_mtu="+strconv.Itoa(drivers.NetworkMTU)+",mac="+nic.MAC,
		)
	}
	return a
}

// plug has the switch carry the machine before it starts.
func (d *Driver) plug(ctx context.Context, m drivers.Machine, start func() error) error {
	return drivers.PlugFor(ctx, d.settings.Switch, m, start, func(err error) bool {
		var exit *ExitError
		return errors.As(err, &exit)
	})
}

// Rewire implements [drivers.Rewirer].
func (d *Driver) Rewire(ctx context.Context, m drivers.Machine) error {
	_, state, err := find(ctx, m)
	if err != nil {
		return err
	}
	return drivers.Replug(ctx, d.settings.Switch, m, state)
}

// sockets are those that QEMU and the switch bind for the machine.
func sockets(m drivers.Machine) []string {
	var all []string
	for _, nic := range m.NICs {
		all = append(all, nic.Socket, nic.Switch)
	}
	slices.Sort(all)
	return all
}
