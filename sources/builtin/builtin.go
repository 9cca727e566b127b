// Package builtin gives the components that lkup itself brings:
// "builtin:init", its program for process 1, "builtin:kernel", a kernel fit
// for it, and "builtin:kernel-containers", the same kernel with the modules
// that container engines need.
package builtin

import (
	"archive/tar"
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/guest/embedded"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Components gives builtin components. It implements [sources.Components].
type Components struct {
	Store *store.Store
	// Init gives the program for an architecture; it is embedded in lkup.
	Init func(arch string) (embedded.Program, error)
	// Kernel gives the kernel: the distribution's, on Debian and Ubuntu.
	Kernel sources.Components
	// ContainerKernel gives the same with more modules.
	ContainerKernel sources.Components
}

const initFormat = "builtin-init/1"

// The refs.
const (
	refInit            = "builtin:init"
	refKernel          = "builtin:kernel"
	refContainerKernel = "builtin:kernel-containers"
)

// Resolve identifies the init by its bytes, so that a new lkup with the same
// init builds nothing.
func (c Components) Resolve(ctx context.Context, ref, arch string) (sources.Digest, error) {
	switch ref {
	case refInit:
		_, d, err := c.program(arch)
		return d, err
	case refKernel:
		return c.Kernel.Resolve(ctx, ref, arch)
	case refContainerKernel:
		return c.ContainerKernel.Resolve(ctx, ref, arch)
	default:
		return "", unknown(ref)
	}
}

// Image gives a component that Resolve pinned.
func (c Components) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	switch ref {
	case refInit:
		return c.initImage(ctx, arch, d)
	case refKernel:
		return c.Kernel.Image(ctx, ref, arch, d, report)
	case refContainerKernel:
		return c.ContainerKernel.Image(ctx, ref, arch, d, report)
	default:
		return nil, unknown(ref)
	}
}

// Stored reports whether d is this lkup's init, which is always here, or a
// kernel that is. It implements [sources.Storer].
func (c Components) Stored(d sources.Digest) bool {
	for _, arch := range []string{"amd64", "arm64"} {
		if _, own, err := c.program(arch); err == nil && own == d {
			return true
		}
	}
	kernel, ok := c.Kernel.(sources.Storer)
	return ok && kernel.Stored(d)
}

func unknown(ref string) error {
	return fmt.Errorf("no component %q: there is %s, %s and %s", ref, refInit, refKernel, refContainerKernel)
}

func (c Components) program(arch string) (embedded.Program, sources.Digest, error) {
	program, err := c.Init(arch)
	if err != nil {
		return program, "", fmt.Errorf("%s: %w", refInit, err)
	}
	return program, store.Key(initFormat, arch, string(program.SHA256[:])), nil
}

func (c Components) initImage(ctx context.Context, arch string, d sources.Digest) (v1.Image, error) {
	program, now, err := c.program(arch)
	if err != nil {
		return nil, err
	}
	if now != d {
		return nil, fmt.Errorf("%s is now %s and no longer %s", refInit, now.Short(), d.Short())
	}
	layer := store.Key("layer", string(d))
	return c.Store.BuildImage(ctx, d, arch, v1.Config{}, func() ([]sources.Digest, error) {
		return []sources.Digest{layer}, c.Store.BuildLayer(ctx, layer, func(w *tar.Writer) error {
			return writeInit(w, program.Bytes())
		})
	})
}

// writeInit puts the program where the kernel looks for it in an initrd.
func writeInit(w *tar.Writer, program []byte) error {
	header := tar.Header{Typeflag: tar.TypeReg, Name: "init", Mode: 0o755, Size: int64(len(program))}
	if err := w.WriteHeader(&header); err != nil {
		return err
	}
	_, err := w.Write(program)
	return err
}
