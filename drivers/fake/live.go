package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/lkup/lkup/drivers"
)

const mib = 1 << 20

// makeVolumes makes a file as large as each volume. One that it made has no
// header, whatever its format; any other file must be of the volume's.
func (d *Driver) makeVolumes(m drivers.Machine) error {
	if _, err := d.read(m.ID); err == nil {
		return nil // it runs, and has them
	}
	for _, v := range m.Volumes {
		if err := enlarge(v); err != nil {
			return err
		}
	}
	return nil
}

func enlarge(v drivers.Volume) error {
	info, err := os.Stat(v.Path)
	if err == nil {
		err = ofFormat(v)
	}
	if err == nil && info.Size() >= int64(v.Size)*mib {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(v.Path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(v.Size)*mib), f.Close())
}

func ofFormat(v drivers.Volume) error {
	if v.Format == "raw" {
		return nil
	}
	f, err := os.Open(v.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 4)
	_, err = io.ReadFull(f, magic)
	if err == nil && string(magic) != "QFI\xfb" && string(magic) != "\x00\x00\x00\x00" {
		err = fmt.Errorf("volume %s cannot be used: %s is not in the format %s", v.Name, v.Path, v.Format)
	}
	return err
}

// sizes are what the guest sees of the volumes.
func sizes(m drivers.Machine) (map[string]int, error) {
	if len(m.Volumes) == 0 {
		return nil, nil
	}
	all := map[string]int{}
	for _, v := range m.Volumes {
		info, err := os.Stat(v.Path)
		if err != nil {
			return nil, err
		}
		all[v.Name] = int(info.Size() / mib)
	}
	return all, nil
}

// change rewrites the record of the machine's process.
func (d *Driver) change(ctx context.Context, op string, m drivers.Machine, change func(*run) error) error {
	s, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	if s.State != drivers.Running && s.State != drivers.Paused {
		return fmt.Errorf("%s does not run", m.Address)
	}
	return d.step(op, m, func() error {
		r, err := d.read(m.ID)
		if err != nil {
			return err
		}
		if err := change(&r); err != nil {
			return err
		}
		return d.write(m.ID, r)
	})
}

// Forward changes the recorded ports.
func (d *Driver) Forward(ctx context.Context, m drivers.Machine) error {
	var failure error
	err := d.change(ctx, "forward", m, func(r *run) error {
		asked := m
		asked.Ports = slices.DeleteFunc(slices.Clone(m.Ports), func(p drivers.Port) bool { return slices.Contains(r.Ports, p) })
		release, err := d.takePorts(asked)
		if err != nil { // then what was there stays, but for what goes
			failure = err
			r.Ports = slices.DeleteFunc(r.Ports, func(p drivers.Port) bool { return !slices.Contains(m.Ports, p) })
			return nil
		}
		defer release()
		r.Ports = m.Ports
		return nil
	})
	return errors.Join(err, failure)
}

// Balloon changes the recorded memory.
func (d *Driver) Balloon(ctx context.Context, m drivers.Machine) error {
	return d.change(ctx, "balloon", m, func(r *run) error {
		if m.Memory > r.RAM {
			return fmt.Errorf("%s was started with %dMiB", m.Address, r.RAM)
		}
		r.Memory = m.Memory
		return nil
	})
}

// Grow enlarges the files.
func (d *Driver) Grow(ctx context.Context, m drivers.Machine) error {
	return d.change(ctx, "grow", m, func(r *run) error {
		for _, v := range m.Volumes {
			if _, attached := r.Volumes[v.Name]; !attached || v.ReadOnly {
				continue
			}
			if err := enlarge(v); err != nil {
				return err
			}
		}
		all, err := sizes(m)
		r.Volumes = all
		return err
	})
}

// Rewire does nothing: the fake's machines send nothing.
func (d *Driver) Rewire(ctx context.Context, m drivers.Machine) error {
	if _, err := d.read(m.ID); err != nil {
		return fmt.Errorf("%s does not run", m.Address)
	}
	return d.step("rewire", m, func() error { return ctx.Err() })
}
