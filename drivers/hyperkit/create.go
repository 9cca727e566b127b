package hyperkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

const mib = 1 << 20

// Create makes a copy of each disk for the machine to write to, and its
// volumes. On file systems that can, a copy takes no space until it differs.
func (d *Driver) Create(ctx context.Context, m drivers.Machine) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for n, disk := range m.Boot.Disks {
		if disk.Format == drivers.CD {
			return fmt.Errorf("%s is a CD image, which lkup boots with QEMU alone; write driver = \"qemu\"", disk.Path)
		}
		if err := d.copyDisk(ctx, disk, filepath.Join(m.Dir, diskName(n))); err != nil {
			return local.Full(err, m.Dir)
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
		if err := volume(v); err != nil {
			return local.Full(err, v.Path)
		}
	}
	return local.Full(os.WriteFile(createdPath(m), nil, 0o600), m.Dir)
}

func (d *Driver) copyDisk(ctx context.Context, disk drivers.Disk, path string) (err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	partial := path + ".part"
	if disk.Format != "raw" {
		return d.convert(ctx, disk, partial, path)
	}
	from, err := os.Open(disk.Path)
	if err != nil {
		return fmt.Errorf("the disk image cannot be used: %w", err)
	}
	defer from.Close()
	to, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(err, to.Close())
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// convert makes a raw disk of one that Hyperkit may have been built without.
func (d *Driver) convert(ctx context.Context, disk drivers.Disk, partial, path string) error {
	program, err := d.settings.LookPath("qemu-img")
	if err != nil {
		return fmt.Errorf("hyperkit takes raw disks, and %s has the format %s; type: brew install qemu, whose qemu-img converts it", disk.Path, disk.Format)
	}
	cmd := process.Command(ctx, program, "convert", "-f", disk.Format, "-O", "raw", disk.Path, partial)
	cmd.Env = append([]string{}, d.settings.Env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("convert %s: %w\n%s", disk.Path, err, output)
	}
	return os.Rename(partial, path)
}

// volume makes a volume's file, or makes it larger.
func volume(v drivers.Volume) error {
	if v.Format != "raw" {
		return fmt.Errorf("volume %s has the format %s, and Hyperkit takes raw; write format = \"raw\", or driver = \"qemu\"", v.Name, v.Format)
	}
	want := int64(v.Size) * mib
	info, err := os.Stat(v.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeVolume(v.Path, want)
	case err != nil:
		return fmt.Errorf("volume %s cannot be used: %w", v.Name, err)
	case info.Size() >= want || v.ReadOnly:
		return nil
	}
	return os.Truncate(v.Path, want)
}

// makeVolume makes an empty file that takes no space yet.
func makeVolume(path string, size int64) error {
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
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
		paths = append(paths, filepath.Join(m.Dir, diskName(n)), filepath.Join(m.Dir, diskName(n)+".part"))
	}
	for n := range maxDisks {
		paths = append(paths, filepath.Join(m.Dir, volumeName(n)))
	}
	for _, name := range []string{kernelName, initrdName, firmwareName, runName, ttyName, ringName} {
		paths = append(paths, filepath.Join(m.Dir, name))
	}
	paths = append(paths, joinedPath(m), seededPath(m), saidPath(m), recordPath(m), upPath(m), lockPath(m), framesPath(m), switchPath(m), consolePath(m), attachedPath(m), pidPath(m), filepath.Dir(pidPath(m)))
	paths = append(paths, sockets(m)...)
	for _, nic := range m.NICs {
		paths = append(paths, nic.Switch)
	}
	// The mark goes last: a removal that was cut is taken up again.
	return local.Remove(append(paths, createdPath(m))...)
}

// join writes files one after another, each from a multiple of four bytes, as
// the kernel wants archives in an initrd.
func join(path string, parts []string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, part := range parts {
		content, err := os.Open(part)
		if err != nil {
			return err
		}
		n, err := io.Copy(out, content)
		if err == nil && n%4 != 0 {
			_, err = out.Write(make([]byte, 4-n%4))
		}
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return nil
}
