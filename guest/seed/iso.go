package seed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// A disc is ISO 9660 (ECMA-119) with one folder, whose files have their real
// names by Rock Ridge (IEEE P1282, over SUSP). All places are fixed: the
// descriptors, two path tables, the folder, and then the files in their order.
const (
	sector      = 2048
	atPrimary   = 16
	atPathsLE   = 18
	atPathsBE   = 19
	atFolder    = 20
	atFiles     = 21
	discVolume  = "cidata" // by which cloud-init and LinuxKit's metadata package find it
	mostEntries = 8        // so that the folder fits its sector
)

// File is a file of a disc.
type File struct {
	Name    string
	Content string
}

// Disc is a file system for a small disk that a guest reads its settings from.
// The same files give the same bytes. There are at most eight.
func Disc(files []File) ([]byte, error) {
	if len(files) > mostEntries {
		return nil, fmt.Errorf("%d files are more than a seed's disc has", len(files))
	}
	var folder bytes.Buffer
	folder.Write(folderRecord(0, true))
	folder.Write(folderRecord(1, false))
	next := uint32(atFiles)
	var contents bytes.Buffer
	for _, f := range files {
		folder.Write(record(isoName(f.Name), next, uint32(len(f.Content)), 0, rockRidge(f.Name, 0o100400)))
		contents.WriteString(f.Content)
		contents.Write(make([]byte, -len(f.Content)&(sector-1)))
		next = atFiles + uint32(contents.Len()/sector)
	}
	disc := make([]byte, atPrimary*sector, int(next)*sector)
	paths := 10
	for _, part := range [][]byte{
		primary(next, uint32(paths)), append([]byte{0xff}, "CD001\x01"...),
		pathTable(binary.LittleEndian), pathTable(binary.BigEndian), folder.Bytes(),
	} {
		disc = append(disc, part...)
		disc = append(disc, make([]byte, -len(disc)&(sector-1))...)
	}
	return append(disc, contents.Bytes()...), nil
}

// isoName is a name for who does not know Rock Ridge.
func isoName(name string) string { return strings.ToUpper(name) + ".;1" }

// primary is the primary volume descriptor (8.4).
func primary(sectors, paths uint32) []byte {
	b := make([]byte, sector)
	copy(b, "\x01CD001\x01")
	fill(b[8:40], "")
	fill(b[40:72], discVolume)
	both32(b[80:], sectors)
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], sector)
	both32(b[132:], paths)
	binary.LittleEndian.PutUint32(b[140:], atPathsLE)
	binary.BigEndian.PutUint32(b[148:], atPathsBE)
	copy(b[156:], record("\x00", atFolder, sector, 2, nil))
	fill(b[190:813], "")
	for _, at := range []int{813, 830, 847, 864} { // no time of anything is told
		copy(b[at:], "0000000000000000")
	}
	b[881] = 1
	return b
}

// pathTable has the root alone (9.4).
func pathTable(order binary.ByteOrder) []byte {
	b := []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	order.PutUint32(b[2:], atFolder)
	order.PutUint16(b[6:], 1)
	return b
}

// folderRecord is the folder itself, 0, or the one above it, 1. The first says
// that there is Rock Ridge.
func folderRecord(name byte, first bool) []byte {
	system := rockRidge("", 0o040500)
	if first {
		const name = "RRIP_1991A"
		system = append([]byte{'S', 'P', 7, 1, 0xbe, 0xef, 0}, system...)
		system = append(system, 'E', 'R', byte(8+len(name)), 1, byte(len(name)), 0, 0, 1)
		system = append(system, name...)
	}
	return record(string(name), atFolder, sector, 2, system)
}

// record is a directory record (9.1).
func record(name string, at, size uint32, flags byte, system []byte) []byte {
	length := 33 + len(name) + (len(name)+1)%2 + len(system)
	length += length % 2
	b := make([]byte, length)
	b[0] = byte(length)
	both32(b[2:], at)
	both32(b[10:], size)
	copy(b[18:25], []byte{126, 1, 1, 0, 0, 0, 0}) // 1 January 2026, at which all of them were made
	b[25] = flags
	both16(b[28:], 1)
	b[32] = byte(len(name))
	copy(b[33:], name)
	copy(b[33+len(name)+(len(name)+1)%2:], system)
	return b
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

// fill writes a text and spaces behind it.
func fill(b []byte, text string) {
	copy(b, text)
	for i := len(text); i < len(b); i++ {
		b[i] = ' '
	}
}
