package output

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lkup/lkup/internal/iso9660"
)

// isoBIOS is a CD that a BIOS starts from a disk as well: isolinux comes with
// a master boot record for it. So it is raw-bios too.
func (b *Builder) isoBIOS(ctx context.Context, img Image) ([]string, error) {
	loader := isolinux()
	files, err := b.load(ctx, loader, img.Arch)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(files["isolinux.bin"][64:68], hybridMagic) {
		return nil, errors.New("isolinux.bin cannot be started from a disk; version 4 or newer is needed")
	}
	initrd, err := b.initrd(ctx, img.Initrds)
	if err != nil {
		return nil, err
	}
	config, err := isolinuxConfig(img.Cmdline)
	if err != nil {
		return nil, err
	}
	kernel, err := digest(img.Kernel)
	if err != nil {
		return nil, err
	}
	packed, err := digest(initrd)
	if err != nil {
		return nil, err
	}
	inputs := append(loader.digests(files), config, kernel, packed)
	path, err := b.file(ctx, "CD for a BIOS", func(path string) error {
		kernel, err := fileAt("KERNEL.;1", img.Kernel)
		if err != nil {
			return err
		}
		ramdisk, err := fileAt("INITRD.IMG;1", initrd)
		if err != nil {
			return err
		}
		const program = "ISOLINUX.BIN;1"
		cd, err := disc(iso9660.Boot{Platform: iso9660.BIOS, Load: 4},
			iso9660.Text(program, string(files["isolinux.bin"])),
			iso9660.Text("LDLINUX.C32;1", string(files["ldlinux.c32"])),
			iso9660.Text("ISOLINUX.CFG;1", config), kernel, ramdisk)
		if err != nil {
			return err
		}
		at := cd.Files[0].Sector
		cd.Files[0].Write = iso9660.Text(program, string(withBootInfo(files["isolinux.bin"], at))).Write
		mbr := bootRecord(files["isohdpfx.bin"], at, cd.Sectors(), packed)
		return create(path, func(w io.Writer) error { return cd.Write(w, mbr) })
	}, inputs...)
	return []string{path}, err
}

// hybridMagic stands in an isolinux.bin that a master boot record can start.
var hybridMagic = []byte{0xfb, 0xc0, 0x78, 0x70}

// maxCmdline is the kernel's own limit on x86 (COMMAND_LINE_SIZE), and the
// boot loader's.
const maxCmdline = 2047

func isolinuxConfig(cmdline string) (string, error) {
	if strings.ContainsAny(cmdline, "\n\r") {
		return "", errors.New("the kernel's command line has a line break, which isolinux cannot hand on")
	}
	if len(cmdline) > maxCmdline {
		return "", fmt.Errorf("the kernel's command line has %d bytes, and a kernel takes %d", len(cmdline), maxCmdline)
	}
	if cmdline == "" {
		cmdline = "-" // nothing
	}
	return "DEFAULT linux\nPROMPT 0\nLABEL linux\n  KERNEL /kernel\n  INITRD /initrd.img\n  APPEND " + cmdline + "\n", nil
}

// withBootInfo tells isolinux where it lies: mkisofs's -boot-info-table.
func withBootInfo(program []byte, at uint32) []byte {
	program = bytes.Clone(program)
	var sum uint32
	padded := padTo(program[64:], (len(program)-64+3)&^3)
	for i := 0; i < len(padded); i += 4 {
		sum += binary.LittleEndian.Uint32(padded[i:])
	}
	info := make([]byte, 56)
	for i, n := range []uint32{iso9660.Descriptors, at, uint32(len(program)), sum} {
		binary.LittleEndian.PutUint32(info[4*i:], n)
	}
	copy(program[8:], info)
	return program
}

// bootRecord makes the CD a disk with one partition, as syslinux's isohybrid
// does: 64 heads of 32 sectors of 512 bytes, so that a cylinder is a MiB.
func bootRecord(program []byte, boot, sectors uint32, identity string) []byte {
	b := make([]byte, 512)
	copy(b, program[:432])
	binary.LittleEndian.PutUint32(b[432:], boot*4)
	copy(b[440:], bytesDigest([]byte(identity))[:4])
	cylinders := min(sectors*4/(64*32), 1024)
	last := cylinders - 1
	copy(b[446:], []byte{
		0x80, 0, 1, 0,
		0x17, 63, byte(32 + (last&0x300)>>2), byte(last),
	})
	binary.LittleEndian.PutUint32(b[458:], sectors*4)
	b[510], b[511] = 0x55, 0xaa
	return b
}
