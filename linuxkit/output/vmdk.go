package output

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A VMDK of one sparse extent (VMware's Virtual Disk Format 5.0). In sectors:
// the header, the description, the directory, all tables, and from the next
// multiple of a grain on the grains, of 64 KiB. The directory and its tables
// are there once: their copies are optional.
const (
	vmdkGrain       = diskBlock / 512
	vmdkPerTable    = 512 // entries, of four bytes
	vmdkTable       = vmdkPerTable * 4 / 512
	vmdkDescription = 20 // sectors
	vmdkDirectory   = 1 + vmdkDescription
)

func writeVMDK(path string, d *raw) error {
	tables := d.tablesFor(vmdkPerTable)
	directory := roundUp(tables*4, 512) / 512
	firstTable := int64(vmdkDirectory) + directory
	grains := roundUp(firstTable+tables*vmdkTable, vmdkGrain)
	if grains+int64(len(d.used))*vmdkGrain > 1<<32-1 {
		return tooLarge("the disk", d.size)
	}
	return create(path, func(w io.Writer) error {
		head := padTo(vmdkHead(d, grains), 512)
		head = append(head, padTo(vmdkDescribe(d), vmdkDescription*512)...)
		head = append(head, padTo(sectorsFrom(firstTable, tables, vmdkTable), int(directory*512))...)
		head = append(head, d.vmdkTables(tables, grains)...)
		if _, err := w.Write(padTo(head, int(grains*512))); err != nil {
			return err
		}
		return d.writeUsed(w)
	})
}

func vmdkHead(d *raw, grains int64) []byte {
	le := binary.LittleEndian
	b := []byte("KDMV")
	b = le.AppendUint32(b, 1)
	b = le.AppendUint32(b, 1) // the line ends below are as they should be
	for _, n := range []int64{d.blocks() * vmdkGrain, vmdkGrain, 1, vmdkDescription} {
		b = le.AppendUint64(b, uint64(n))
	}
	b = le.AppendUint32(b, vmdkPerTable)
	for _, n := range []int64{0, vmdkDirectory, grains} {
		b = le.AppendUint64(b, uint64(n))
	}
	return append(b, "\x00\n \r\n"...) // closed cleanly; spoilt by a transfer as text
}

// vmdkDescribe is the disk's description, with an identity that follows from
// the content.
func vmdkDescribe(d *raw) []byte {
	const heads, sectors = 16, 63
	size := d.blocks() * vmdkGrain
	return fmt.Appendf(nil, `# Disk DescriptorFile
version=1
CID=%.8s
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW %d SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.adapterType = "ide"
`, d.identity, size, min(size/(heads*sectors), 16383), heads, sectors)
}

// sectorsFrom are n places from first on, step sectors apart.
func sectorsFrom(first, n, step int64) []byte {
	var b []byte
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, uint32(first+i*step))
	}
	return b
}

// vmdkTables say where the disk's blocks lie; grains is the first one's
// sector.
func (d *raw) vmdkTables(tables, grains int64) []byte {
	b := make([]byte, tables*vmdkTable*512)
	for i, n := range d.used {
		binary.LittleEndian.PutUint32(b[4*n:], uint32(grains+int64(i)*vmdkGrain))
	}
	return b
}
