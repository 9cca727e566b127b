package iso9660

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// folder is the only one, sorted by name as the standard asks.
func (d *Disc) folder() []byte {
	var first, second []byte
	if d.LongNames {
		second = rockRidge("", 0o040500)
		first = append(announced(), second...)
	}
	b := append(d.itself("\x00", first), d.itself("\x01", second)...)
	files := slices.Clone(d.Files)
	slices.SortFunc(files, func(x, y File) int { return strings.Compare(d.name(x), d.name(y)) })
	for _, f := range files {
		var system []byte
		if d.LongNames {
			system = rockRidge(f.Name, 0o100400)
		}
		b = append(b, d.record(d.name(f), f.Sector, uint32(f.Size), 0, system)...)
	}
	return b
}

// name is a file's for who does not know Rock Ridge.
func (d *Disc) name(f File) string {
	if d.LongNames {
		return strings.ToUpper(f.Name) + ".;1"
	}
	return f.Name
}

// itself is the folder's record in itself, "\x00", or of the one above it, "\x01".
func (d *Disc) itself(name string, system []byte) []byte {
	return d.record(name, d.at.folder, SectorSize, 2, system)
}

// record is a directory record (9.1).
func (d *Disc) record(name string, at, size uint32, flags byte, system []byte) []byte {
	named := 33 + len(name) + (len(name)+1)%2
	b := make([]byte, (named+len(system)+1)&^1)
	b[0] = byte(len(b))
	both32(b[2:], at)
	both32(b[10:], size)
	t := d.Time.UTC()
	copy(b[18:], []byte{byte(t.Year() - 1900), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0})
	b[25] = flags
	both16(b[28:], 1)
	b[32] = byte(len(name))
	copy(b[33:], name)
	copy(b[named:], system)
	return b
}

// announced says that there is Rock Ridge.
func announced() []byte {
	const name = "RRIP_1991A"
	b := []byte{'S', 'P', 7, 1, 0xbe, 0xef, 0}
	b = append(b, 'E', 'R', byte(8+len(name)), 1, byte(len(name)), 0, 0, 1)
	return append(b, name...)
}

// rockRidge is a file's mode and, unless it has none, its real name.
func rockRidge(name string, mode uint32) []byte {
	b := make([]byte, 36, 36+5+len(name))
	copy(b, []byte{'P', 'X', 36, 1})
	both32(b[4:], mode)
	both32(b[12:], 1)
	if name != "" {
		b = append(b, 'N', 'M', byte(5+len(name)), 1, 0)
		b = append(b, name...)
	}
	return b
}

// both32 writes a number in both byte orders (7.3.3), both16 too (7.2.3).
func both32(b []byte, n uint32) {
	binary.LittleEndian.PutUint32(b, n)
	binary.BigEndian.PutUint32(b[4:], n)
}

func both16(b []byte, n uint16) {
	binary.LittleEndian.PutUint16(b, n)
	binary.BigEndian.PutUint16(b[2:], n)
}

func blank(b []byte) { copy(b, bytes.Repeat([]byte{' '}, len(b))) }
