package file

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/store"
)

// DiskFormat reads what a disk is from its header: raw or qcow2. It refuses one
// that names other files of the host, or is packed.
func DiskFormat(path string) (string, error) {
	header, err := disk.Look(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if !header.Ready() {
		return "", fmt.Errorf("%s is %s, and a volume is raw or qcow2; unpack or convert it first: qemu-img convert -O qcow2 IN OUT", path, header)
	}
	if header.Format == disk.ISO {
		return "", fmt.Errorf("%s is a CD image, and a volume is a disk; write its image in the place of the VM's", path)
	}
	return header.Format, nil
}

// Copier copies disks, sharing their blocks where the file system can. It has no
// state.
type Copier struct{}

// Copy makes a copy of a disk of that format. What was at to is replaced; it
// has its new name only once it is whole.
func (Copier) Copy(_ context.Context, from, to, format string) error {
	kind, err := DiskFormat(from)
	if err != nil {
		return err
	}
	if kind != format {
		return fmt.Errorf("%s is %s, and the volume is %s; write in its block: format = %q", from, kind, format, kind)
	}
	return replicate(from, to)
}

// Clone makes a copy of a file as it is. What was at to is replaced; it has its
// new name only once it is whole, and on the disk.
func (Copier) Clone(_ context.Context, from, to string) error { return replicate(from, to) }

func replicate(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	partial := to + ".part"
	if clone(source, partial) != nil {
		if err := store.CopySparse(partial, source); err != nil {
			return err
		}
	}
	whole, err := os.OpenFile(partial, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(whole.Sync(), whole.Close()); err != nil {
		return err
	}
	return os.Rename(partial, to)
}
