package linuxkit

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// WriteTar writes the image that Resolve pinned as LinuxKit's tar: the kernel
// and its command line in boot, and then what the initrd holds, each entry
// with where it is from. Unlike the initrd it keeps hard links and extended
// attributes.
func (b *Builder) WriteTar(ctx context.Context, img spec.Image, d sources.Digest, w io.Writer, report sources.Report) error {
	r, err := b.readAgain(ctx, img, d)
	if err != nil {
		return err
	}
	if err := b.writeTar(ctx, r, w, report); err != nil {
		return fmt.Errorf("build %s: %w", img.Address, err)
	}
	return nil
}

func (b *Builder) writeTar(ctx context.Context, r recipe, w io.Writer, report sources.Report) error {
	components, err := b.open(ctx, r, report)
	if err != nil {
		return err
	}
	segments, err := r.segments(components)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(w, 1<<18)
	a := &tarArchive{w: tar.NewWriter(buffer)}
	if r.template.Kernel != nil && r.template.Kernel.Image.Text != "" {
		segments = append([]segment{r.boot(components)}, segments...)
	}
	for _, s := range segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.origin = s.origin
		if err := s.write(a); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return errors.Join(a.w.Close(), buffer.Flush())
}

// boot is the kernel, as its component has it, and its command line. It has
// no key: no initrd holds it.
func (r recipe) boot(components map[string]component) segment {
	c := components[r.template.Kernel.Image.Text]
	return segment{
		what:   c.ref,
		origin: originOf(r.template.Kernel.Image, kernelLocation),
		write: func(a archive) error {
			kernel, err := c.read(r.template.Kernel.binary())
			if err != nil {
				return err
			}
			if err := errors.Join(addDir(a, "boot"), addFile(a, "boot/cmdline", []byte(r.cmdline())), addFile(a, "boot/kernel", kernel)); err != nil {
				return err
			}
			microcode := r.microcode(components) // one segment, or none
			if len(microcode) == 0 {
				return nil
			}
			content, err := microcode[0].raw()
			if err != nil {
				return err
			}
			return addFile(a, "boot/ucode.cpio", content)
		},
	}
}

// tarArchive writes LinuxKit's tar: every entry says where it is from, and
// keeps its extended attributes.
type tarArchive struct {
	w      *tar.Writer
	origin origin
}

// origin is what LinuxKit records with every entry.
type origin struct {
	source   string // a ref as LinuxKit expands it, or "linuxkit.files"
	location string // "init[0]"
}

// kernelLocation and filesSource are LinuxKit's words in origins.
const (
	kernelLocation = "kernel"
	filesSource    = "linuxkit.files"
	volumesSource  = "linuxkit.volumes"
	apkSource      = "LINUXKIT.apkinit"
)

// originOf is where the files of a component stand in the template.
func originOf(r ref, location string) origin { return origin{expandedRef(r.Text), location} }

// The keys of an origin's records.
const (
	sourceRecord   = "LINUXKIT.source"
	locationRecord = "LINUXKIT.location"
	xattrRecord    = "SCHILY.xattr."
)

func (o origin) records() map[string]string {
	return map[string]string{sourceRecord: o.source, locationRecord: o.location}
}

// add writes one entry. Records in its header win over the archive's origin.
func (a *tarArchive) add(h tar.Header, content io.Reader) error {
	records := a.origin.records()
	for name, value := range h.PAXRecords {
		if strings.HasPrefix(name, xattrRecord) || name == sourceRecord || name == locationRecord {
			records[name] = value
		}
	}
	entry := tar.Header{
		Format: tar.FormatPAX, PAXRecords: records, Typeflag: h.Typeflag, ModTime: timeOf(h),
		Name: h.Name, Linkname: h.Linkname, Mode: h.Mode & 0o7777, Uid: h.Uid, Gid: h.Gid, Devmajor: h.Devmajor, Devminor: h.Devminor,
	}
	switch h.Typeflag {
	case tar.TypeReg:
		entry.Size = h.Size
	case tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	default:
		return fmt.Errorf("%s: cannot put an entry of type %q into an image", h.Name, h.Typeflag)
	}
	if err := a.w.WriteHeader(&entry); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	if _, err := io.CopyN(a.w, content, h.Size); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}
