package volume

import (
	"context"
	"fmt"
	"os"

	"github.com/lkup/lkup/sources/file"
)

// Fits is the size, in MiB, of a disk that somebody brings. It is refused if it
// is none, or leads to other files of the host.
func (d Disks) Fits(_ context.Context, path string) (int, error) {
	format, err := file.DiskFormat(path)
	if err != nil {
		return 0, err
	}
	size, _, err := Size(path, format)
	return size, err
}

// Take makes a copy of a disk that somebody brings, in the format of a volume.
// What was at to is replaced, once the copy is whole.
func (d Disks) Take(ctx context.Context, from, to, format string) error {
	kind, err := file.DiskFormat(from)
	if err != nil {
		return err
	}
	if kind == format {
		return d.Copy(ctx, from, to, format)
	}
	// What is converted is lkup's own: somebody may write to from meanwhile.
	own := to + ".taken.part"
	defer os.Remove(own)
	if err := d.Copy(ctx, from, own, kind); err != nil {
		return err
	}
	return d.Convert(ctx, own, kind, to, format, false)
}

// Convert makes a copy of a disk of lkup's own in a format, compressed if that
// is asked for and the format can be.
func (d Disks) Convert(ctx context.Context, from, kind, to, format string, compress bool) error {
	if kind == format && (!compress || format == "raw") {
		return d.Clone(ctx, from, to)
	}
	args := []string{"convert", "-q", "-f", kind, "-O", format}
	if compress && format == "qcow2" {
		args = append(args, "-c")
	}
	partial := to + ".part"
	if err := d.image(ctx, append(args, from, partial)...); err != nil {
		_ = os.Remove(partial) // it is a part, at most
		return fmt.Errorf("convert %s: %w", from, err)
	}
	return settle(partial, to)
}
