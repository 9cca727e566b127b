package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lkup/lkup/internal/iso9660"
)

// efiProgram is kernel, initrd and command line as one program that firmware
// starts: a unified kernel image.
func (b *Builder) efiProgram(ctx context.Context, img Image) (path, identity string, err error) {
	loader := stub(img.Arch)
	files, err := b.load(ctx, loader, img.Arch)
	if err != nil {
		return "", "", err
	}
	initrd, err := b.initrd(ctx, img.Initrds)
	if err != nil {
		return "", "", err
	}
	path, err = b.file(ctx, "EFI program", func(path string) error {
		return writeUKI(path, files[loader.files[0]], []peSection{
			{name: ".osrel", content: []byte("ID=lkup\nNAME=lkup\nPRETTY_NAME=lkup\n")},
			{name: ".cmdline", content: []byte(img.Cmdline)},
			{name: ".initrd", path: initrd},
			// Last, because old stubs let the kernel unpack itself in place.
			{name: ".linux", path: img.Kernel},
		})
	}, append(loader.digests(files), string(img.Digest))...)
	if err != nil {
		return "", "", err
	}
	identity, err = digest(path)
	return path, identity, err
}

// efiFile is where firmware looks for what to start from a disk that it does
// not know (UEFI 2.10, section 3.5.1.1).
func efiFile(arch string) string { return "BOOT" + strings.ToUpper(efiArch(arch)) + ".EFI" }

func (b *Builder) rawEFI(ctx context.Context, img Image) ([]string, error) {
	program, identity, err := b.efiProgram(ctx, img)
	if err != nil {
		return nil, err
	}
	path, err := b.file(ctx, "disk for EFI", func(path string) error {
		fs, err := newFAT(program, efiFile(img.Arch), identity, diskStart)
		if err != nil {
			return err
		}
		return create(path, func(w io.Writer) error { return writeGPT(w, fs, identity) })
	}, identity, img.Arch)
	return []string{path}, err
}

func (b *Builder) isoEFI(ctx context.Context, img Image) ([]string, error) {
	program, identity, err := b.efiProgram(ctx, img)
	if err != nil {
		return nil, err
	}
	path, err := b.file(ctx, "CD for EFI", func(path string) (err error) {
		scratch := path + ".fat"
		defer func() { err = errors.Join(err, os.Remove(scratch)) }()
		fs, err := newFAT(program, efiFile(img.Arch), identity, 0)
		if err != nil {
			return err
		}
		if err := create(scratch, fs.write); err != nil {
			return err
		}
		image, err := fileAt("EFI.IMG;1", scratch)
		if err != nil {
			return err
		}
		cd, err := disc(iso9660.Boot{Platform: iso9660.EFI, Load: efiLoad(int64(fs.sectors))}, image)
		if err != nil {
			return err
		}
		return create(path, func(w io.Writer) error { return cd.Write(w, nil) })
	}, identity, img.Arch)
	return []string{path}, err
}

// efiLoad is the size of the file system in the boot catalog, whose field
// cannot hold 32 MiB. Firmware takes 0 to mean all that follows.
func efiLoad(sectors int64) uint16 {
	if sectors > 0xffff {
		return 0
	}
	return uint16(sectors)
}

var errNoRoom = errors.New("the EFI stub has no room for more sections; a newer systemd-boot-efi has")

func tooLarge(what string, size int64) error {
	return fmt.Errorf("%s has %d bytes, which is more than 4 GiB less a byte", what, size)
}
