package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"al.essio.dev/pkg/shellescape"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

func volumeNode(n int) string { return "volume" + strconv.Itoa(n) }

// volumeArgs attach the volumes, each under its name as a serial number.
func volumeArgs(volumes []drivers.Volume) []string {
	var a []string
	for n, v := range volumes {
		disk := node{
			Driver: v.Format, Name: volumeNode(n), ReadOnly: v.ReadOnly, Discard: "unmap",
			File: &node{Driver: "file", Filename: v.Path, ReadOnly: v.ReadOnly, Discard: "unmap"},
		}
		if v.Format == "qcow2" {
			disk.Backing = []byte("null") // whatever its header says
		}
		a = append(a, "-blockdev", encode(disk), "-device", "virtio-blk-pci,drive="+volumeNode(n)+onError+",serial="+escape(v.Name))
	}
	return a
}

// discArgs attach the disk with the guest's settings, behind those that it may
// know by their places.
func discArgs(m drivers.Machine) []string {
	if m.Disc == "" {
		return nil
	}
	disk := node{Driver: "raw", Name: "disc", ReadOnly: true, File: &node{Driver: "file", Filename: m.Disc, ReadOnly: true}}
	return []string{"-blockdev", encode(disk), "-device", "virtio-blk-pci,drive=disc,serial=lkup-settings"}
}

// volume makes a volume's file, or makes it larger.
func (d *Driver) volume(ctx context.Context, v drivers.Volume) error {
	size, err := virtualSize(drivers.Disk{Path: v.Path, Format: v.Format})
	want := uint64(v.Size) * mib
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.makeVolume(ctx, v)
	case err != nil:
		return fmt.Errorf("volume %s cannot be used: %w", v.Name, err)
	case size >= want || v.ReadOnly:
		return nil
	case v.Format == "raw":
		return local.Full(os.Truncate(v.Path, int64(want)), v.Path)
	}
	return d.image(ctx, "resize", "-q", "-f", v.Format, v.Path, strconv.FormatUint(want, 10))
}

func (d *Driver) makeVolume(ctx context.Context, v drivers.Volume) error {
	partial := v.Path + ".part"
	size := strconv.FormatUint(uint64(v.Size)*mib, 10)
	var err error
	if v.Format == "raw" {
		err = sparse(partial, int64(v.Size)*mib)
	} else {
		err = d.image(ctx, "create", "-q", "-f", v.Format, partial, size)
	}
	if err != nil {
		return local.Full(fmt.Errorf("make volume %s: %w", v.Name, err), v.Path)
	}
	return os.Rename(partial, v.Path)
}

// sparse makes an empty file that takes no space yet.
func sparse(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// image runs qemu-img.
func (d *Driver) image(ctx context.Context, words ...string) error {
	program, err := d.program("qemu-img")
	if err != nil {
		return err
	}
	cmd := process.Command(ctx, program, words...)
	cmd.Env = append([]string{}, d.settings.Env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s\n  %s", err, indent(string(output)), shellescape.QuoteCommand(append([]string{program}, words...)))
	}
	return nil
}
