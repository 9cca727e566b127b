package volume

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Content is what a disk holds.
type Content string

// The contents that make a difference.
const (
	Blank Content = "nothing" // it was never written to
	Ext4  Content = "ext4"
	Other Content = "something else" // than an ext4 file system, or what is left of one
)

// Look says what a disk holds. It reads no more than it must.
func (d Disks) Look(ctx context.Context, path, format string) (Content, error) {
	if format == "raw" {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return lookRaw(f)
	}
	return d.lookQcow2(ctx, path)
}

// The ext superblock, as the kernel's fs/ext4/ext4.h has it: it begins at 1024,
// and the magic number is 0x38 bytes further on, little-endian.
const (
	superblock   = 1024
	superLength  = 1024
	magicAt      = superblock + 0x38
	magic        = 0xEF53
	incompatible = superblock + 0x60
	extents      = 0x40 // a feature that ext2 and ext3 do not have
)

func isExt4(head []byte) bool {
	return len(head) >= superblock+superLength &&
		binary.LittleEndian.Uint16(head[magicAt:]) == magic &&
		binary.LittleEndian.Uint32(head[incompatible:])&extents != 0
}

func lookRaw(f *os.File) (Content, error) {
	head := make([]byte, superblock+superLength)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	if isExt4(head[:n]) {
		return Ext4, nil
	}
	blank, err := zeros(f)
	switch {
	case err != nil:
		return "", err
	case blank:
		return Blank, nil
	}
	return Other, nil
}

// zeros reports whether nothing but zeros is in a file. What was never written
// is not read, where the file system tells.
func zeros(f *os.File) (bool, error) {
	buffer, none := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; {
		data, err := unix.Seek(int(f.Fd()), at, seekData)
		switch {
		case errors.Is(err, syscall.ENXIO):
			return true, nil // no data from here on
		case err == nil:
			at = data
		}
		n, err := f.ReadAt(buffer, at)
		if !bytes.Equal(buffer[:n], none[:n]) {
			return false, nil
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// header is what qcow2 says of itself; see docs/interop/qcow2.txt of QEMU.
type header struct {
	size    uint64
	entries uint32 // of the first table
	table   uint64 // where that lies
}

// mostEntries bounds the first table: of a disk of some petabytes.
const mostEntries = 32 << 20 / 8

func readHeader(f io.ReaderAt) (header, error) {
	h := make([]byte, 48)
	if _, err := f.ReadAt(h, 0); err != nil || string(h[:4]) != "QFI\xfb" {
		return header{}, errors.New("it is not in the format qcow2")
	}
	read := header{
		size:    binary.BigEndian.Uint64(h[24:]),
		entries: binary.BigEndian.Uint32(h[36:]),
		table:   binary.BigEndian.Uint64(h[40:]),
	}
	if read.entries > mostEntries {
		return header{}, errors.New("its header is damaged")
	}
	return read, nil
}

// lookQcow2 finds a disk blank whose tables point nowhere, and else has
// qemu-img copy the first sectors.
func (d Disks) lookQcow2(ctx context.Context, path string) (Content, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, err := readHeader(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	table := make([]byte, int(h.entries)*8)
	if _, err := f.ReadAt(table, int64(h.table)); err != nil {
		return "", fmt.Errorf("%s: its tables cannot be read: %w", path, err)
	}
	if bytes.Equal(table, make([]byte, len(table))) {
		return Blank, nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "look")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	head := filepath.Join(dir, "head")
	if err := d.image(ctx, "dd", "-f", "qcow2", "-O", "raw", "bs=4096", "count=1", "if="+path, "of="+head); err != nil {
		return "", err
	}
	content, err := os.ReadFile(head)
	if err == nil && isExt4(content) {
		return Ext4, nil
	}
	return Other, err
}
