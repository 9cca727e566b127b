package linuxkit

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/embedded"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// Kernel is a template's kernel as boot loaders and other tools take it.
type Kernel struct {
	// Packed is the file as its component has it, such as a bzImage.
	Packed string
	// RootDisk is an initrd, in parts, that does no more than load the drivers
	// of the root disk and start the init that lies there. It is empty for a
	// kernel that has them built in.
	RootDisk []string
}

// Kernel gives the kernel of the image that Resolve pinned.
func (b *Builder) Kernel(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (Kernel, error) {
	r, err := b.readAgain(ctx, img, d)
	if err != nil {
		return Kernel{}, err
	}
	k, err := b.packedKernel(ctx, r, report)
	if err != nil {
		return Kernel{}, fmt.Errorf("build %s: %w", img.Address, err)
	}
	return k, nil
}

func (b *Builder) packedKernel(ctx context.Context, r recipe, report sources.Report) (Kernel, error) {
	ref := r.template.Kernel.Image
	c, err := b.openOne(ctx, wanted{ref, r.arch}, r.digests[ref.Text], report)
	if err != nil {
		return Kernel{}, fmt.Errorf("%s: %w", ref.At, err)
	}
	binary := r.template.Kernel.binary()
	dir, err := b.Store.Build(ctx, store.Key(format, "packed kernel", string(c.digest), binary), func(dir string) error {
		content, err := c.read(binary)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, kernelFile), content, 0o600)
	})
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Packed: filepath.Join(dir, kernelFile)}
	k.RootDisk, err = b.rootDiskInitrd(ctx, r, c, report)
	return k, err
}

// rootDiskModules are what init may need to get at a squashfs on a disk or a
// CD. A kernel that has the squashfs module has all of these as modules or
// built in.
func rootDiskModules() []string { return []string{"squashfs", "overlay"} }

func (b *Builder) rootDiskInitrd(ctx context.Context, r recipe, c component, report sources.Report) ([]string, error) {
	var parts []string
	for _, s := range r.modules(map[string]component{c.ref: c}, nil) {
		needed, err := c.hasModules(r.template.Kernel.tar(), rootDiskModules())
		if err != nil || !needed {
			return nil, err
		}
		start, err := rootDiskInit(r.arch)
		if err != nil {
			return nil, err
		}
		for _, s := range []segment{s, start} {
			if err := b.segment(ctx, s, report); err != nil {
				return nil, err
			}
			dir, _ := b.Store.Built(s.key)
			parts = append(parts, filepath.Join(dir, segmentFile))
		}
	}
	return parts, nil
}

// rootDiskInit is lkup's init with the order to boot from a disk.
func rootDiskInit(arch string) (segment, error) {
	init, err := embedded.Init(arch)
	if err != nil {
		return segment{}, err
	}
	program := init.Bytes()
	return segment{
		key:  store.Key(format, "root disk init", string(program)),
		what: "init of the root disk",
		write: func(a archive) error {
			h := tar.Header{Typeflag: tar.TypeReg, Name: "init", Mode: 0o755, Size: int64(len(program))}
			folder, _, _ := strings.Cut(entryName(guest.RootDiskPath), "/")
			return errors.Join(
				a.add(h, bytes.NewReader(program)),
				addDir(a, "dev"),
				addDir(a, folder),
				addFile(a, entryName(guest.RootDiskPath), nil),
			)
		},
	}, nil
}

// hasModules reports whether the kernel's tar has one of the modules.
func (c component) hasModules(name string, modules []string) (bool, error) {
	content, err := c.read(name)
	if err != nil {
		return false, err
	}
	entries := tar.NewReader(bytes.NewReader(content))
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%s: read %s: %w", c.ref, name, err)
		}
		module, _, isModule := strings.Cut(path.Base(h.Name), ".ko")
		if isModule && slices.Contains(modules, module) {
			return true, nil
		}
	}
}
