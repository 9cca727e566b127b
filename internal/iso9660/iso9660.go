// Package iso9660 writes discs: ISO 9660 (ECMA-119) with one folder, real names
// by Rock Ridge (IEEE P1282, over SUSP) where they are asked for, and what
// firmware starts by El Torito.
package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// SectorSize is what a disc is counted in, in bytes.
const SectorSize = 2048

// Disc is what is to be written. The same disc gives the same bytes.
type Disc struct {
	Label string    // at most 32 bytes
	Time  time.Time // of everything on it
	Files []File
	// LongNames gives files the names that they have, and mode 0400. Without
	// them, each is named as the standard has it: "KERNEL.;1".
	LongNames bool
	Boot      *Boot // nil if nothing starts from it

	at      places
	sectors uint32
}

// File is a file of the folder.
type File struct {
	Name  string
	Size  int64 // in bytes, less than 4 GiB
	Write func(w io.Writer) error
	// Sector is where it begins, once it is placed.
	Sector uint32
}

// Text is a file of what is in memory.
func Text(name, content string) File {
	return File{Name: name, Size: int64(len(content)), Write: func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}}
}

// Boot says that firmware starts the first file.
type Boot struct {
	Platform byte // BIOS or EFI
	// Load is how many sectors of 512 bytes the firmware reads; 0 lets EFI take
	// the file system to reach to the end.
	Load uint16
}

// El Torito's platforms.
const (
	BIOS byte = 0
	EFI  byte = 0xef
)

// places are the sectors of what has no name.
type places struct{ boot, end, pathsLE, pathsBE, folder, catalog uint32 }

// Descriptors is the sector where a disc's volume descriptors begin; what lies
// before is not the standard's.
const Descriptors = 16

// Place decides where everything lies.
func (d *Disc) Place() error {
	next := uint32(Descriptors + 1)
	take := func() uint32 { next++; return next - 1 }
	if d.Boot != nil {
		d.at.boot = take()
	}
	d.at.end, d.at.pathsLE, d.at.pathsBE, d.at.folder = take(), take(), take(), take()
	if d.Boot != nil {
		d.at.catalog = take()
	}
	for i := range d.Files {
		f := &d.Files[i]
		if f.Size >= 1<<32 {
			return fmt.Errorf("%d bytes are more than a file on a CD can have", f.Size)
		}
		f.Sector = next
		next += uint32((f.Size + SectorSize - 1) / SectorSize)
	}
	if len(d.folder()) > SectorSize {
		return fmt.Errorf("%d files are more than fit into the only folder of a disc", len(d.Files))
	}
	if d.Boot != nil { // whole MiB: cylinders, for a BIOS that starts it as a disk
		const perMiB = 1 << 20 / SectorSize
		next = (next + perMiB - 1) / perMiB * perMiB
	}
	d.sectors = next
	return nil
}

// Sectors is how large the disc is, once it is placed.
func (d *Disc) Sectors() uint32 { return d.sectors }

// Write writes a disc that was placed. system is what lies before its first
// sector of its own: up to 32 KiB that only disks have a use for.
func (d *Disc) Write(w io.Writer, system []byte) error {
	if len(system) > Descriptors*SectorSize {
		return fmt.Errorf("%d bytes do not fit before a disc's first sector", len(system))
	}
	parts := [][]byte{append(slices.Clip(system), make([]byte, Descriptors*SectorSize-len(system))...), d.primary()}
	if d.Boot != nil {
		parts = append(parts, d.bootRecord())
	}
	parts = append(parts, []byte("\xffCD001\x01"), d.pathTable(binary.LittleEndian), d.pathTable(binary.BigEndian), d.folder())
	if d.Boot != nil {
		parts = append(parts, d.catalog())
	}
	next := uint32(0)
	for _, part := range parts {
		if _, err := w.Write(append(part, make([]byte, -len(part)&(SectorSize-1))...)); err != nil {
			return err
		}
		next += uint32((len(part) + SectorSize - 1) / SectorSize)
	}
	for _, f := range d.Files {
		if err := errors.Join(f.Write(w), zeros(w, -f.Size&(SectorSize-1))); err != nil {
			return err
		}
		next += uint32((f.Size + SectorSize - 1) / SectorSize)
	}
	return zeros(w, int64(d.sectors-next)*SectorSize)
}

func zeros(w io.Writer, n int64) error {
	for block := make([]byte, SectorSize); n > 0; n -= SectorSize {
		if _, err := w.Write(block[:min(n, SectorSize)]); err != nil {
			return err
		}
	}
	return nil
}

// primary is the primary volume descriptor (8.4).
func (d *Disc) primary() []byte {
	b := make([]byte, SectorSize)
	copy(b, "\x01CD001\x01")
	blank(b[8:72])
	copy(b[40:72], d.Label)
	both32(b[80:], d.sectors)
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], SectorSize)
	both32(b[132:], uint32(len(d.pathTable(binary.LittleEndian))))
	binary.LittleEndian.PutUint32(b[140:], d.at.pathsLE)
	binary.BigEndian.PutUint32(b[148:], d.at.pathsBE)
	copy(b[156:], d.itself("\x00", nil))
	blank(b[190:813])
	stamp := d.Time.UTC().Format("20060102150405") + "00\x00"
	never := strings.Repeat("0", 16) + "\x00"
	copy(b[813:], stamp+stamp+never+never)
	b[881] = 1
	return b
}

// bootRecord leads to the catalog (El Torito, section 2).
func (d *Disc) bootRecord() []byte {
	b := make([]byte, SectorSize)
	copy(b, "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[71:], d.at.catalog)
	return b
}

// catalog tells the firmware what to start.
func (d *Disc) catalog() []byte {
	b := make([]byte, 64)
	b[0], b[1], b[30], b[31] = 1, d.Boot.Platform, 0x55, 0xaa
	copy(b[4:28], d.Label)
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	binary.LittleEndian.PutUint16(b[28:], -sum)
	b[32] = 0x88 // bootable, without emulating a floppy
	binary.LittleEndian.PutUint16(b[38:], d.Boot.Load)
	binary.LittleEndian.PutUint32(b[40:], d.Files[0].Sector)
	return b
}

// pathTable lists the folders, of which there is one (9.4).
func (d *Disc) pathTable(order binary.AppendByteOrder) []byte {
	b := []byte{1, 0}
	b = order.AppendUint32(b, d.at.folder)
	b = order.AppendUint16(b, 1)
	return append(b, 0, 0)
}
