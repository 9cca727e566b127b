package qemu

import (
	"context"
	"errors"
	"fmt"
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

// plug has the switch carry the machine before it starts, and take it off again
// if it does not.
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
	var exit *ExitError
	if errors.As(err, &exit) { // else it may still be on its way up
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

// switchedPorts are the host ports that the switch holds for the machine. None,
// if nothing answers: then nothing is forwarded.
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

// sockets are those that QEMU and the switch bind for the machine.
func sockets(m drivers.Machine) []string {
	var all []string
	for _, nic := range m.NICs {
		all = append(all, nic.Socket, nic.Switch)
	}
	slices.Sort(all)
	return all
}
