package fake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lkup/lkup/drivers"
)

// Pause marks the record.
func (d *Driver) Pause(ctx context.Context, m drivers.Machine) error {
	return d.change(ctx, "pause", m, func(r *run) error { r.Paused = true; return nil })
}

// Resume takes the mark away.
func (d *Driver) Resume(ctx context.Context, m drivers.Machine) error {
	return d.change(ctx, "resume", m, func(r *run) error { r.Paused = false; return nil })
}

// Savable finds nothing in the way.
func (d *Driver) Savable(ctx context.Context, m drivers.Machine) (string, error) {
	s, err := d.Status(ctx, m)
	if err == nil && s.State != drivers.Running && s.State != drivers.Paused {
		err = fmt.Errorf("%s does not run", m.Address)
	}
	return "", err
}

// memoryMark begins the files that Save writes.
const memoryMark = "the memory of a fake machine: "

// Save writes whose memory it would be.
func (d *Driver) Save(ctx context.Context, m drivers.Machine, path string) error {
	return d.change(ctx, "save", m, func(r *run) error {
		if !r.Paused {
			return fmt.Errorf("%s is not paused", m.Address)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteString(memoryMark + m.ID + "\n")
		return errors.Join(err, f.Close())
	})
}

// Restore records a process, paused, if the file is one of Save's.
func (d *Driver) Restore(ctx context.Context, m drivers.Machine, path string) error {
	s, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	if s.State != drivers.Stopped {
		return fmt.Errorf("%s is %s, and only a stopped machine gets its memory back", m.Address, s.State)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(content), memoryMark) || !strings.HasSuffix(string(content), "\n") {
		return fmt.Errorf("%s is not the memory of a machine", path)
	}
	wakes := func(drivers.Machine) error { return nil } // and says nothing
	return d.step("restore", m, func() error { return d.launch(m, wakes, true) })
}

// Files is the mark.
func (d *Driver) Files(m drivers.Machine) []string { return []string{filepath.Base(d.created(m))} }
