package output

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// loader is a boot loader: its files, by name.
type loader struct {
	ref   string   // the packages that have them
	files []string // their base names
	// folders are where distributions without these packages have the files.
	folders []string
	install string // what to do when they are nowhere
}

// isolinux boots a BIOS from a CD and, through the master boot record that
// comes with it, from a disk.
func isolinux() loader {
	return loader{
		ref:     "apt:isolinux,syslinux-common",
		files:   []string{"isolinux.bin", "isohdpfx.bin", "ldlinux.c32"},
		folders: []string{"/usr/lib/ISOLINUX", "/usr/lib/syslinux/modules/bios", "/usr/lib/syslinux/bios", "/usr/share/syslinux"},
		install: "install the packages isolinux and syslinux-common, or syslinux where they are one",
	}
}

// stub makes an EFI program of a kernel.
func stub(arch string) loader {
	return loader{
		ref:     "apt:systemd-boot-efi",
		files:   []string{"linux" + efiArch(arch) + ".efi.stub"},
		folders: []string{"/usr/lib/systemd/boot/efi"},
		install: "install the package systemd-boot-efi, or systemd-boot, or systemd where they are one",
	}
}

func efiArch(arch string) string {
	if arch == "arm64" {
		return "aa64"
	}
	return "x64"
}

// load reads a boot loader's files: from packages, which need not be
// installed, or else from this computer.
func (b *Builder) load(ctx context.Context, l loader, arch string) (map[string][]byte, error) {
	files, err := b.fromPackages(ctx, l, arch)
	if err == nil {
		return files, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	files, missing := l.fromHost()
	if missing == "" {
		return files, nil
	}
	return nil, fmt.Errorf("the boot loader's file %s is not on this computer; %s: %w", missing, l.install, err)
}

func (b *Builder) fromPackages(ctx context.Context, l loader, arch string) (map[string][]byte, error) {
	if b.Packages == nil {
		return nil, errors.New("there is no source of packages")
	}
	d, err := b.Packages.Resolve(ctx, l.ref, arch)
	if err != nil {
		return nil, err
	}
	image, err := b.Packages.Image(ctx, l.ref, arch, d, b.Report)
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			return nil, err
		}
		if err := errors.Join(l.find(content, found), content.Close()); err != nil {
			return nil, err
		}
	}
	if missing := l.missing(found); missing != "" {
		return nil, fmt.Errorf("%s has no file %s", l.ref, missing)
	}
	return found, nil
}

// find takes the loader's files out of a layer.
func (l loader) find(layer io.Reader, found map[string][]byte) error {
	entries := tar.NewReader(layer)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !l.has("/"+path.Clean(h.Name)) {
			continue
		}
		if found[path.Base(h.Name)], err = io.ReadAll(entries); err != nil {
			return err
		}
	}
}

func (l loader) has(name string) bool {
	for _, folder := range l.folders {
		for _, file := range l.files {
			if name == folder+"/"+file {
				return true
			}
		}
	}
	return false
}

func (l loader) missing(found map[string][]byte) string {
	for _, name := range l.files {
		if found[name] == nil {
			return name
		}
	}
	return ""
}

func (l loader) fromHost() (found map[string][]byte, missing string) {
	found = map[string][]byte{}
	for _, name := range l.files {
		for _, folder := range l.folders {
			if content, err := os.ReadFile(filepath.Join(folder, name)); err == nil && found[name] == nil {
				found[name] = content
			}
		}
	}
	return found, l.missing(found)
}

// digests identify a loader by its bytes, not by where they came from.
func (l loader) digests(files map[string][]byte) []string {
	var all []string
	for _, name := range l.files {
		all = append(all, string(bytesDigest(files[name])))
	}
	return all
}
