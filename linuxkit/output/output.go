// Package output writes an image in the formats that LinuxKit has: files for
// other machines and other tools.
//
// It promises: the same image, boot loader and format give the same bytes,
// whatever the computer, its clock and its settings; what is written is kept
// in the store, so that it is written once. It runs no program but
// sqfstar, and needs no root.
package output

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Format is a way to write an image, by LinuxKit's name.
type Format string

// The formats.
const (
	KernelInitrd    Format = "kernel+initrd"
	KernelSquashfs  Format = "kernel+squashfs"
	Tar             Format = "tar"
	TarKernelInitrd Format = "tar-kernel-initrd"
	RawBIOS         Format = "raw-bios"
	RawEFI          Format = "raw-efi"
	ISOBIOS         Format = "iso-bios"
	ISOEFI          Format = "iso-efi"
	QCOW2BIOS       Format = "qcow2-bios"
	QCOW2EFI        Format = "qcow2-efi"
	VMDK            Format = "vmdk"
)

// Image is what the formats are made of.
type Image struct {
	Digest  sources.Digest // of all that follows
	Arch    string         // GOARCH
	Cmdline string
	Kernel  string   // as its component has it, such as a bzImage
	Initrds []string // cpio archives, one after the other
	// RootDisk is an initrd that starts the init of a root disk; empty if the
	// kernel needs none.
	RootDisk []string
	// WriteTar writes the image as LinuxKit's tar.
	WriteTar func(ctx context.Context, w io.Writer) error
}

// File is one that a format consists of.
type File struct {
	Format Format
	// Suffix follows the image's name in the file's: "-kernel", ".tar".
	Suffix string
	Path   string // in the store
}

// Builder writes images.
type Builder struct {
	Store *store.Store
	// Packages gives the boot loaders' files, by refs such as "apt:isolinux".
	Packages sources.Components
	Report   sources.Report // may be nil
}

// recipe is how a format is made.
type recipe struct {
	format   Format
	suffixes []string
	archs    []string // nil for all
	build    func(b *Builder, ctx context.Context, img Image) ([]string, error)
}

// edition changes when the same inputs come to give other files.
const edition = "output/2"

func recipes() []recipe {
	x86 := []string{"amd64"}
	return []recipe{
		{KernelInitrd, []string{"-kernel", "-initrd.img", "-cmdline"}, nil, (*Builder).kernelInitrd},
		{KernelSquashfs, []string{"-kernel", "-squashfs.img", "-squashfs-initrd.img", "-cmdline"}, nil, (*Builder).kernelSquashfs},
		{Tar, []string{".tar"}, nil, (*Builder).tar},
		{TarKernelInitrd, []string{"-initrd.tar"}, nil, (*Builder).tarKernelInitrd},
		{RawBIOS, []string{"-bios.img"}, x86, (*Builder).isoBIOS},
		{RawEFI, []string{"-efi.img"}, nil, (*Builder).rawEFI},
		{ISOBIOS, []string{".iso"}, x86, (*Builder).isoBIOS},
		{ISOEFI, []string{"-efi.iso"}, nil, (*Builder).isoEFI},
		{QCOW2BIOS, []string{".qcow2"}, x86, (*Builder).qcow2BIOS},
		{QCOW2EFI, []string{"-efi.qcow2"}, nil, (*Builder).qcow2EFI},
		{VMDK, []string{".vmdk"}, x86, (*Builder).vmdk},
	}
}

// Formats are the names of all formats.
func Formats() []string {
	var names []string
	for _, r := range recipes() {
		names = append(names, string(r.format))
	}
	return names
}

// ParseFormat finds a format by its name.
func ParseFormat(name string) (Format, error) {
	if !slices.Contains(Formats(), name) {
		return "", fmt.Errorf("no format %q; the formats are %s", name, strings.Join(Formats(), ", "))
	}
	return Format(name), nil
}

// Build writes an image in a format, unless it is in the store.
func (b *Builder) Build(ctx context.Context, img Image, format Format) ([]File, error) {
	for _, r := range recipes() {
		if r.format != format {
			continue
		}
		if r.archs != nil && !slices.Contains(r.archs, img.Arch) {
			return nil, fmt.Errorf("%s is for %s, not for %s", format, strings.Join(r.archs, " and "), img.Arch)
		}
		paths, err := r.build(b, ctx, img)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", format, err)
		}
		return r.files(paths), nil
	}
	return nil, fmt.Errorf("no format %q", format)
}

// files leaves out what the image does not have: empty paths.
func (r recipe) files(paths []string) []File {
	var files []File
	for i, path := range paths {
		if path != "" {
			files = append(files, File{Format: r.format, Suffix: r.suffixes[i], Path: path})
		}
	}
	return files
}

// file stores what write makes of inputs, which say all that decides it, and
// returns the file's path.
func (b *Builder) file(ctx context.Context, what string, write func(path string) error, inputs ...string) (string, error) {
	const name = "file"
	key := store.Key(append([]string{edition, what}, inputs...)...)
	dir, err := b.Store.Build(ctx, key, func(dir string) error {
		b.tell(what)
		return write(filepath.Join(dir, name))
	})
	return filepath.Join(dir, name), err
}

func (b *Builder) tell(what string) {
	if b.Report != nil {
		b.Report(sources.Progress{What: "write " + what})
	}
}
