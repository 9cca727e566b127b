package output

import (
	"encoding/binary"
	"io"
	"time"
)

// fat is a FAT32 file system with one file, in the folder EFI/BOOT. Its
// parts follow each other without a gap: reserved sectors, two tables, and
// the clusters of the root folder, EFI, BOOT and the file.
type fat struct {
	path       string // of the file's content
	name       string // in 8.3 form
	size       int64
	id         uint32
	hidden     uint32 // sectors before it on the disk
	perCluster uint32 // sectors
	clusters   uint32 // of data
	table      uint32 // sectors of a table
	sectors    uint32 // in all
}

const (
	fatSector   = 512
	fatReserved = 32
	fatFirst    = 2     // the first cluster's number
	fatMinimum  = 65525 // fewer clusters make it a FAT16
	fatFolders  = 3     // root, EFI, BOOT
	fatEnd      = 0x0fffffff
)

func newFAT(path, name, identity string, hidden uint32) (*fat, error) {
	size, err := fileSize(path)
	if err != nil {
		return nil, err
	}
	if size >= 1<<32-1 {
		return nil, tooLarge("the EFI program", size)
	}
	f := &fat{path: path, name: name, size: size, hidden: hidden, perCluster: 1}
	f.id = binary.LittleEndian.Uint32(bytesDigest([]byte(identity)))
	if size > 512<<20 {
		f.perCluster = 8
	}
	// Some clusters to spare, so that no reading of the standard takes it for
	// a FAT16.
	f.clusters = max(f.fileClusters()+fatFolders, fatMinimum+64)
	f.table = uint32(roundUp(int64(f.clusters+fatFirst)*4, fatSector) / fatSector)
	f.sectors = fatReserved + 2*f.table + f.clusters*f.perCluster
	return f, nil
}

func (f *fat) fileClusters() uint32 {
	bytes := int64(f.perCluster) * fatSector
	return uint32(roundUp(f.size, bytes) / bytes)
}

// write writes the file system.
func (f *fat) write(w io.Writer) error {
	reserved := make([]byte, fatReserved*fatSector)
	copy(reserved, f.boot())
	copy(reserved[fatSector:], f.info())
	copy(reserved[6*fatSector:], reserved[:2*fatSector]) // the spare copy
	table := f.chains()
	cluster := int(f.perCluster) * fatSector
	for _, part := range [][]byte{reserved, table, table, padTo(f.root(), cluster), padTo(f.efi(), cluster), padTo(f.bootFolder(), cluster)} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	rest := int64(f.clusters-fatFolders)*int64(cluster) - f.size
	return orZeros(join(w, []string{f.path}), w, rest)
}

// boot is the boot sector, which firmware reads for the file system's shape.
func (f *fat) boot() []byte {
	b := make([]byte, fatSector)
	copy(b, "\xeb\x58\x90LKUP    ")
	le := binary.LittleEndian
	le.PutUint16(b[11:], fatSector)
	b[13] = byte(f.perCluster)
	le.PutUint16(b[14:], fatReserved)
	b[16], b[21] = 2, 0xf8
	le.PutUint16(b[24:], 32)
	le.PutUint16(b[26:], 64)
	le.PutUint32(b[28:], f.hidden)
	le.PutUint32(b[32:], f.sectors)
	le.PutUint32(b[36:], f.table)
	le.PutUint32(b[44:], fatFirst)
	le.PutUint16(b[48:], 1)
	le.PutUint16(b[50:], 6)
	b[64], b[66] = 0x80, 0x29
	le.PutUint32(b[67:], f.id)
	copy(b[71:], "LKUP       FAT32   ")
	b[510], b[511] = 0x55, 0xaa
	return b
}

// info is the sector that says how much is free.
func (f *fat) info() []byte {
	b := make([]byte, fatSector)
	copy(b, "RRaA")
	copy(b[484:], "rrAa")
	used := fatFolders + f.fileClusters()
	binary.LittleEndian.PutUint32(b[488:], f.clusters-used)
	binary.LittleEndian.PutUint32(b[492:], fatFirst+used)
	b[510], b[511] = 0x55, 0xaa
	return b
}

// chains is the allocation table.
func (f *fat) chains() []byte {
	b := make([]byte, f.table*fatSector)
	put := func(cluster, next uint32) { binary.LittleEndian.PutUint32(b[4*cluster:], next) }
	put(0, 0x0ffffff8)
	put(1, fatEnd)
	for c := uint32(fatFirst); c < fatFirst+fatFolders; c++ {
		put(c, fatEnd)
	}
	first := uint32(fatFirst + fatFolders)
	for i := range f.fileClusters() {
		next := first + i + 1
		if i+1 == f.fileClusters() {
			next = fatEnd
		}
		put(first+i, next)
	}
	return b
}

func (f *fat) root() []byte {
	label := fatEntry("LKUP", "", 0x08, 0, 0)
	return append(label, fatEntry("EFI", "", 0x10, fatFirst+1, 0)...)
}

func (f *fat) efi() []byte {
	b := append(fatEntry(".", "", 0x10, fatFirst+1, 0), fatEntry("..", "", 0x10, 0, 0)...)
	return append(b, fatEntry("BOOT", "", 0x10, fatFirst+2, 0)...)
}

func (f *fat) bootFolder() []byte {
	b := append(fatEntry(".", "", 0x10, fatFirst+2, 0), fatEntry("..", "", 0x10, fatFirst+1, 0)...)
	return append(b, fatEntry(f.name[:len(f.name)-4], "EFI", 0x20, fatFirst+fatFolders, uint32(f.size))...)
}

// fatEntry is a folder's entry.
func fatEntry(name, extension string, attributes byte, cluster, size uint32) []byte {
	b := make([]byte, 32)
	blank(b[:11])
	copy(b[:8], name)
	copy(b[8:11], extension)
	b[11] = attributes
	t := time.Unix(fixedTime, 0).UTC()
	date := uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day())
	clock := uint16(t.Hour())<<11 | uint16(t.Minute())<<5
	le := binary.LittleEndian
	le.PutUint16(b[14:], clock)
	le.PutUint16(b[16:], date)
	le.PutUint16(b[18:], date)
	le.PutUint16(b[20:], uint16(cluster>>16))
	le.PutUint16(b[22:], clock)
	le.PutUint16(b[24:], date)
	le.PutUint16(b[26:], uint16(cluster))
	le.PutUint32(b[28:], size)
	return b
}
