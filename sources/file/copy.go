package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
	if header.Format == disk.Qcow2 && filepath.Ext(path) == ".raw" {
		return "", fmt.Errorf("%s begins as qcow2 disks do, and its name says raw; rename it to what it is, or, if it is raw, make a qcow2 disk of it: qemu-img convert -f raw -O qcow2 IN OUT", path)
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
// has its new name only once it is whole, and is itself of that format, whoever
// wrote to from meanwhile.
func (Copier) Copy(ctx context.Context, from, to, format string) error {
	kind, err := DiskFormat(from)
	if err != nil {
		return err
	}
	if kind != format {
		return fmt.Errorf("%s is %s, and the volume is %s; write in its block: format = %q", from, kind, format, kind)
	}
	return replicate(ctx, from, to, func(copied string) error {
		now, err := disk.Look(copied)
		if err == nil && now.Format != format {
			err = fmt.Errorf("it is %s now", now)
		}
		if err != nil {
			return fmt.Errorf("%s was changed while it was copied: %w", from, err)
		}
		return nil
	})
}

// Clone makes a copy of a file as it is. What was at to is replaced; it has its
// new name only once it is whole, and on the disk.
func (Copier) Clone(ctx context.Context, from, to string) error {
	return replicate(ctx, from, to, func(string) error { return nil })
}

// replicate copies by way of a partial file, which sound may refuse, and of
// which nothing stays if there is an error.
func replicate(ctx context.Context, from, to string, sound func(copied string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	partial := to + ".part"
	err = fill(ctx, source, partial)
	if err == nil {
		err = sound(partial)
	}
	if err == nil {
		err = os.Rename(partial, to)
	}
	if err != nil {
		_ = os.Remove(partial) // a part takes room that may be what is missing
	}
	return err
}

// fill makes the copy, which is private, and on the disk when it returns.
func fill(ctx context.Context, source *os.File, partial string) error {
	if clone(source, partial) != nil {
		if err := store.CopySparse(partial, interruptible{ctx, source}); err != nil {
			return err
		}
	}
	if err := os.Chmod(partial, 0o600); err != nil {
		return err
	}
	whole, err := os.OpenFile(partial, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(whole.Sync(), whole.Close())
}

// interruptible is a reader that ends with a context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(b)
}
