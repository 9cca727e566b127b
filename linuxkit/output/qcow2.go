package output

import (
	"encoding/binary"
	"io"
)

// A QCOW2 image of version 3 (QEMU's docs/interop/qcow2.txt) without backing
// file or snapshots. Its clusters, of 64 KiB, are in this order: the header,
// the table of reference counts and its blocks, the first table, all second
// tables, the data.
const (
	qcow2PerTable = diskBlock / 8 // entries of a table
	qcow2PerBlock = diskBlock / 2 // reference counts in a block
	qcow2Copied   = 1 << 63       // flag of an entry: referred to once
	qcow2Header   = 104
)

func writeQCOW2(path string, d *raw) error {
	tables := d.tablesFor(qcow2PerTable)
	firsts := (tables + qcow2PerTable - 1) / qcow2PerTable
	// Count blocks count themselves, so their number is found by trying.
	counts := int64(1)
	total := func() int64 {
		return 1 + countTables(counts) + counts + firsts + tables + int64(len(d.used))
	}
	for counts*qcow2PerBlock < total() {
		counts++
	}
	first := 1 + countTables(counts) + counts // cluster of the first table
	return create(path, func(w io.Writer) error {
		for _, part := range [][]byte{
			qcow2Head(d, tables, first, countTables(counts)),
			clusters(countTables(counts), bigEndian(1+countTables(counts), counts, 0)),
			clusters(counts, countsOf(total())),
			clusters(firsts, bigEndian(first+firsts, tables, qcow2Copied)),
			d.secondTables(tables, first+firsts+tables),
		} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return d.writeUsed(w)
	})
}

// countTables is how many clusters the table of count blocks fills.
func countTables(blocks int64) int64 { return (blocks + qcow2PerTable - 1) / qcow2PerTable }

func qcow2Head(d *raw, tables, first, countTables int64) []byte {
	b := make([]byte, diskBlock)
	be := binary.BigEndian
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16) // bits of a cluster
	be.PutUint64(b[24:], uint64(d.size))
	be.PutUint32(b[36:], uint32(tables))
	be.PutUint64(b[40:], uint64(first*diskBlock))
	be.PutUint64(b[48:], diskBlock)
	be.PutUint32(b[56:], uint32(countTables))
	be.PutUint32(b[96:], 4) // reference counts of 16 bits
	be.PutUint32(b[100:], qcow2Header)
	return b
}

// bigEndian are the offsets of n clusters from the first one on.
func bigEndian(first, n int64, flag uint64) []byte {
	var b []byte
	for i := range n {
		b = binary.BigEndian.AppendUint64(b, uint64((first+i)*diskBlock)|flag)
	}
	return b
}

// countsOf says that n clusters are referred to once.
func countsOf(n int64) []byte {
	b := make([]byte, 2*n)
	for i := range n {
		b[2*i+1] = 1
	}
	return b
}

// clusters is b with zeros up to n clusters.
func clusters(n int64, b []byte) []byte { return padTo(b, int(n*diskBlock)) }

// secondTables say where the disk's blocks lie; data is the first one's
// cluster.
func (d *raw) secondTables(tables, data int64) []byte {
	b := make([]byte, tables*diskBlock)
	for i, n := range d.used {
		binary.BigEndian.PutUint64(b[8*n:], uint64((data+int64(i))*diskBlock)|qcow2Copied)
	}
	return b
}
