package output

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// ISO 9660 (ECMA-119), with one folder and an El Torito boot catalog. All
// places are fixed: descriptors, path tables, the root folder, the catalog,
// and then the files in their order.
const (
	isoSector  = 2048
	isoPVD     = 16
	isoPathsLE = 19
	isoPathsBE = 20
	isoRoot    = 21
	isoCatalog = 22
	isoFiles   = 23
)

// El Torito's platforms.
const (
	platformBIOS byte = 0
	platformEFI  byte = 0xef
)

// isoFile is a file of the root folder: content, or what lies at path.
type isoFile struct {
	name    string // as ISO 9660 has it: "KERNEL.;1"
	content []byte
	path    string

	size   int64
	sector uint32
}

// iso is a CD. Its first file is what the firmware starts.
type iso struct {
	files    []isoFile
	platform byte
	// load is how many sectors of 512 bytes the firmware reads; 0 lets EFI
	// take the file system to reach to the end.
	load    uint16
	sectors uint32
}

// newISO places the files.
func newISO(platform byte, load uint16, files []isoFile) (*iso, error) {
	d := &iso{platform: platform, load: load, files: files}
	next := uint32(isoFiles)
	for i := range d.files {
		f := &d.files[i]
		f.size = int64(len(f.content))
		if f.path != "" {
			info, err := os.Stat(f.path)
			if err != nil {
				return nil, err
			}
			f.size = info.Size()
		}
		if f.size >= 1<<32 {
			return nil, fmt.Errorf("%d bytes are more than a file on a CD can have", f.size)
		}
		f.sector = next
		next += uint32((f.size + isoSector - 1) / isoSector)
	}
	// Whole MiB: cylinders, for a BIOS that starts it as a disk.
	const perMiB = 1 << 20 / isoSector
	d.sectors = (next + perMiB - 1) / perMiB * perMiB
	return d, nil
}

// write writes the CD. system is what lies before its first sector of its
// own: up to 32 KiB that only disks have a use for.
func (d *iso) write(w io.Writer, system []byte) error {
	for _, part := range [][]byte{
		padTo(system, isoPVD*isoSector), d.primary(), d.bootRecord(), terminator(),
		sector(pathTable(binary.LittleEndian)), sector(pathTable(binary.BigEndian)), sector(d.folder()), sector(d.catalog()),
	} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	at := uint32(isoFiles)
	for _, f := range d.files {
		if err := f.write(w); err != nil {
			return err
		}
		at += uint32((f.size + isoSector - 1) / isoSector)
	}
	return zeros(w, int64(d.sectors-at)*isoSector)
}

func (f isoFile) write(w io.Writer) error {
	if f.path == "" {
		_, err := w.Write(f.content)
		return orZeros(err, w, -f.size&(isoSector-1))
	}
	return orZeros(join(w, []string{f.path}), w, -f.size&(isoSector-1))
}

// primary is the primary volume descriptor.
func (d *iso) primary() []byte {
	b := make([]byte, isoSector)
	copy(b, "\x01CD001\x01")
	blank(b[8:72])
	copy(b[40:], "LKUP")
	bothEndian32(b[80:], d.sectors)
	bothEndian16(b[120:], 1)
	bothEndian16(b[124:], 1)
	bothEndian16(b[128:], isoSector)
	bothEndian32(b[132:], uint32(len(pathTable(binary.LittleEndian))))
	binary.LittleEndian.PutUint32(b[140:], isoPathsLE)
	binary.BigEndian.PutUint32(b[148:], isoPathsBE)
	copy(b[156:], record("\x00", isoRoot, isoSector, true))
	blank(b[190:813])
	stamp := time.Unix(fixedTime, 0).UTC().Format("20060102150405") + "00\x00"
	never := strings.Repeat("0", 16) + "\x00"
	copy(b[813:], stamp+stamp+never+never)
	b[881] = 1
	return b
}

func (d *iso) bootRecord() []byte {
	b := make([]byte, isoSector)
	copy(b, "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[71:], isoCatalog)
	return b
}

func terminator() []byte {
	b := make([]byte, isoSector)
	copy(b, "\xffCD001\x01")
	return b
}

// pathTable lists the folders: the root alone.
func pathTable(order binary.AppendByteOrder) []byte {
	b := []byte{1, 0}
	b = order.AppendUint32(b, isoRoot)
	b = order.AppendUint16(b, 1)
	return append(b, 0, 0)
}

// folder is the root folder, sorted by name as the standard asks.
func (d *iso) folder() []byte {
	b := append(record("\x00", isoRoot, isoSector, true), record("\x01", isoRoot, isoSector, true)...)
	files := slices.Clone(d.files)
	slices.SortFunc(files, func(x, y isoFile) int { return strings.Compare(x.name, y.name) })
	for _, f := range files {
		b = append(b, record(f.name, f.sector, uint32(f.size), false)...)
	}
	return b
}

// record is a folder's entry.
func record(name string, at, size uint32, folder bool) []byte {
	b := make([]byte, 33+len(name)+(len(name)+1)%2)
	b[0] = byte(len(b))
	bothEndian32(b[2:], at)
	bothEndian32(b[10:], size)
	t := time.Unix(fixedTime, 0).UTC()
	copy(b[18:], []byte{byte(t.Year() - 1900), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0})
	if folder {
		b[25] = 2
	}
	bothEndian16(b[28:], 1)
	b[32] = byte(len(name))
	copy(b[33:], name)
	return b
}

// catalog tells the firmware what to start (El Torito, section 2).
func (d *iso) catalog() []byte {
	b := make([]byte, 64)
	b[0], b[1], b[30], b[31] = 1, d.platform, 0x55, 0xaa
	copy(b[4:], "LKUP")
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	binary.LittleEndian.PutUint16(b[28:], -sum)
	b[32] = 0x88 // bootable, without emulating a floppy
	binary.LittleEndian.PutUint16(b[38:], d.load)
	binary.LittleEndian.PutUint32(b[40:], d.files[0].sector)
	return b
}

func bothEndian16(b []byte, n uint16) {
	binary.LittleEndian.PutUint16(b, n)
	binary.BigEndian.PutUint16(b[2:], n)
}

func bothEndian32(b []byte, n uint32) {
	binary.LittleEndian.PutUint32(b, n)
	binary.BigEndian.PutUint32(b[4:], n)
}

func blank(b []byte) { copy(b, bytes.Repeat([]byte{' '}, len(b))) }

func sector(b []byte) []byte { return padTo(b, isoSector) }

// padTo is b with zeros up to n bytes.
func padTo(b []byte, n int) []byte { return append(slices.Clip(b), make([]byte, n-len(b))...) }

// zeros writes n zero bytes.
func zeros(w io.Writer, n int64) error {
	block := make([]byte, 1<<16)
	for n > 0 {
		part := min(n, int64(len(block)))
		if _, err := w.Write(block[:part]); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// orZeros writes n zero bytes unless there was an error.
func orZeros(err error, w io.Writer, n int64) error {
	if err != nil {
		return err
	}
	return zeros(w, n)
}
