package output

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
)

// converted is the format's file made of the one file of another.
func (b *Builder) converted(ctx context.Context, what string, from func(context.Context, Image) ([]string, error), img Image, write func(path string, raw *raw) error) ([]string, error) {
	paths, err := from(ctx, img)
	if err != nil {
		return nil, err
	}
	identity, err := digest(paths[0])
	if err != nil {
		return nil, err
	}
	path, err := b.file(ctx, what, func(path string) error {
		disk, err := openRaw(paths[0], identity)
		if err != nil {
			return err
		}
		return errors.Join(write(path, disk), disk.file.Close())
	}, identity)
	return []string{path}, err
}

func (b *Builder) qcow2BIOS(ctx context.Context, img Image) ([]string, error) {
	return b.converted(ctx, "QCOW2", b.isoBIOS, img, writeQCOW2)
}

func (b *Builder) qcow2EFI(ctx context.Context, img Image) ([]string, error) {
	return b.converted(ctx, "QCOW2", b.rawEFI, img, writeQCOW2)
}

func (b *Builder) vmdk(ctx context.Context, img Image) ([]string, error) {
	return b.converted(ctx, "VMDK", b.isoBIOS, img, writeVMDK)
}

// raw is a disk as it is, seen in blocks of 64 KiB.
type raw struct {
	file     *os.File
	size     int64
	identity string
	used     []int64 // the blocks that are not all zero
}

const diskBlock = 1 << 16

func openRaw(path, identity string) (*raw, error) {
	file, size, err := openSized(path)
	if err != nil {
		return nil, err
	}
	d := &raw{file: file, size: size, identity: identity}
	block, empty := make([]byte, diskBlock), make([]byte, diskBlock)
	for n := range d.blocks() {
		if err := d.read(n, block); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if !bytes.Equal(block, empty) {
			d.used = append(d.used, n)
		}
	}
	return d, nil
}

// blocks counts the blocks; the last may be cut short.
func (d *raw) blocks() int64 { return (d.size + diskBlock - 1) / diskBlock }

// read reads a block, with zeros behind the disk's end.
func (d *raw) read(n int64, block []byte) error {
	got, err := d.file.ReadAt(block, n*diskBlock)
	clear(block[got:])
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// writeUsed writes the blocks that are not all zero, one after the other.
func (d *raw) writeUsed(w io.Writer) error {
	block := make([]byte, diskBlock)
	for _, n := range d.used {
		if err := d.read(n, block); err != nil {
			return err
		}
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// tablesFor counts the tables of perTable entries that blocks need.
func (d *raw) tablesFor(perTable int64) int64 { return (d.blocks() + perTable - 1) / perTable }
