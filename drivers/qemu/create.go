package qemu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

// Create makes the machine's own layer over each disk image, and its volumes.
func (d *Driver) Create(ctx context.Context, m drivers.Machine) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for n, disk := range m.Boot.Disks {
		if disk.Format == drivers.CD {
			continue
		}
		if err := d.overlay(ctx, disk, overlayPath(m, n)); err != nil {
			return err
		}
	}
	held, err := local.Locked(lockPath(m))
	if err != nil {
		return err
	}
	for _, v := range m.Volumes {
		if held {
			break // it runs, and has them
		}
		if err := d.volume(ctx, v); err != nil {
			return err
		}
	}
	return local.Full(os.WriteFile(createdPath(m), nil, 0o600), m.Dir)
}

func (d *Driver) overlay(ctx context.Context, disk drivers.Disk, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	size, err := virtualSize(disk)
	if err != nil {
		return fmt.Errorf("the disk image cannot be used: %w", err)
	}
	partial := path + ".part"
	// With -u, and a size, qemu-img does not open the image.
	if err := d.image(ctx, "create", "-q", "-u", "-f", "qcow2", "-F", disk.Format, "-b", disk.Path, partial, strconv.FormatUint(size, 10)); err != nil {
		return fmt.Errorf("make a layer over the disk image: %w", err)
	}
	return os.Rename(partial, path)
}

// virtualSize is how large a guest sees a disk image, in bytes.
func virtualSize(disk drivers.Disk) (uint64, error) {
	f, err := os.Open(disk.Path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	switch disk.Format {
	case "raw":
		const sector = 512
		size, err := f.Seek(0, io.SeekEnd)
		return (uint64(size) + sector - 1) / sector * sector, err
	case "qcow2":
		// docs/interop/qcow2.txt: magic, and at 24 the size, big-endian.
		header := make([]byte, 32)
		if _, err := io.ReadFull(f, header); err != nil || string(header[:4]) != "QFI\xfb" {
			return 0, fmt.Errorf("%s is not in the format qcow2", disk.Path)
		}
		return binary.BigEndian.Uint64(header[24:]), nil
	}
	return 0, fmt.Errorf("%s has the format %q; QEMU is given raw or qcow2", disk.Path, disk.Format)
}

// Delete removes what Create and Start made. The directory itself is the
// caller's.
func (d *Driver) Delete(ctx context.Context, m drivers.Machine) error {
	status, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	if err := local.Deletable(m, status); err != nil {
		return err
	}
	var paths []string
	for n := range m.Boot.Disks {
		paths = append(paths, overlayPath(m, n), overlayPath(m, n)+".part")
	}
	paths = append(paths, joinedPath(m), seededPath(m), sayingsPath(m), filesLog(m), runPath(m), lockPath(m), monitorPath(m), consolePath(m), attachedPath(m))
	paths = append(paths, sockets(m)...)
	// The mark goes last: a removal that was cut is taken up again.
	return local.Remove(append(paths, createdPath(m))...)
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
