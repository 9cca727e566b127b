package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/lkup/lkup/drivers"
)

// Create makes the machine's own layer over each disk image.
func (d *Driver) Create(ctx context.Context, m drivers.Machine) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for n, disk := range m.Boot.Disks {
		if err := d.overlay(ctx, disk, overlayPath(m, n)); err != nil {
			return err
		}
	}
	return full(os.WriteFile(createdPath(m), nil, 0o600), m.Dir)
}

func (d *Driver) overlay(ctx context.Context, disk drivers.Disk, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	program, err := d.program("qemu-img")
	if err != nil {
		return err
	}
	if _, err := os.Stat(disk.Path); err != nil {
		return fmt.Errorf("the disk image is missing: %w", err)
	}
	partial := path + ".part"
	words := []string{"create", "-q", "-f", "qcow2", "-F", disk.Format, "-b", disk.Path, partial}
	cmd := exec.CommandContext(ctx, program, words...)
	cmd.Env = d.settings.Env
	if output, err := cmd.CombinedOutput(); err != nil {
		command := quote(append([]string{program}, words...))
		return fmt.Errorf("make a layer over the disk image: %w\n%s\n  %s", err, indent(string(output)), command)
	}
	return os.Rename(partial, path)
}

// Delete removes what Create and Start made. The directory itself is the
// caller's.
func (d *Driver) Delete(ctx context.Context, m drivers.Machine) error {
	status, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	switch status.State {
	case drivers.Running, drivers.Paused:
		return fmt.Errorf("%s still runs (process %d); stop it first", m.Address, status.PID)
	case drivers.Unknown:
		return errors.New(status.Detail)
	case drivers.Absent, drivers.Stopped:
	}
	var paths []string
	for n := range m.Boot.Disks {
		paths = append(paths, overlayPath(m, n), overlayPath(m, n)+".part")
	}
	paths = append(paths, joinedPath(m), sayingsPath(m), runPath(m), lockPath(m), monitorPath(m), consolePath(m), attachedPath(m))
	// The mark goes last: a removal that was cut is taken up again.
	return remove(append(paths, createdPath(m))...)
}

// remove removes files that may be gone already.
func remove(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// full says what to do about a disk that is full.
func full(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("no space is left for %s; free some, or choose another disk with LKUP_STATE_DIR: %w", dir, err)
	}
	return err
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
