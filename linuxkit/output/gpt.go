package output

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

// A GPT disk (UEFI 2.10, section 5) with one partition, the EFI system's.
const (
	diskStart   = 2048 // the partition's first sector
	gptEntries  = 128
	gptSectors  = gptEntries * 128 / fatSector // of the entries
	diskAlign   = 2048                         // sectors: a MiB
	gptHeadSize = 92
)

// efiSystem is the type of the partition, in the byte order of disks.
var efiSystem = [16]byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}

func writeGPT(w io.Writer, fs *fat, identity string) error {
	total := uint64(roundUp(int64(diskStart+fs.sectors+gptSectors+1), diskAlign))
	entries := gptEntry(fs, identity)
	start := [][]byte{protectiveMBR(total), gptHeader(identity, entries, 1, total-1, 2, total), entries}
	for _, part := range start {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	if err := zeros(w, (diskStart-2-gptSectors)*fatSector); err != nil {
		return err
	}
	spare := total - 1 - gptSectors
	if err := orZeros(fs.write(w), w, int64(spare-diskStart-uint64(fs.sectors))*fatSector); err != nil {
		return err
	}
	for _, part := range [][]byte{entries, gptHeader(identity, entries, total-1, 1, spare, total)} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// protectiveMBR shows tools that know no GPT that the disk is not empty.
func protectiveMBR(total uint64) []byte {
	b := make([]byte, fatSector)
	copy(b[446:], []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0})
	binary.LittleEndian.PutUint32(b[458:], uint32(min(total-1, 0xffffffff)))
	b[510], b[511] = 0x55, 0xaa
	return b
}

func gptEntry(fs *fat, identity string) []byte {
	b := make([]byte, gptSectors*fatSector)
	copy(b, efiSystem[:])
	copy(b[16:], uuid("partition", identity))
	binary.LittleEndian.PutUint64(b[32:], diskStart)
	binary.LittleEndian.PutUint64(b[40:], diskStart+uint64(fs.sectors)-1)
	for i, unit := range utf16.Encode([]rune("EFI system")) {
		binary.LittleEndian.PutUint16(b[56+2*i:], unit)
	}
	return b
}

func gptHeader(identity string, entries []byte, self, other, table, total uint64) []byte {
	b := make([]byte, fatSector)
	copy(b, "EFI PART\x00\x00\x01\x00")
	le := binary.LittleEndian
	le.PutUint32(b[12:], gptHeadSize)
	for i, n := range []uint64{self, other, 2 + gptSectors, total - 2 - gptSectors} {
		le.PutUint64(b[24+8*i:], n)
	}
	copy(b[56:], uuid("disk", identity))
	le.PutUint64(b[72:], table)
	le.PutUint32(b[80:], gptEntries)
	le.PutUint32(b[84:], 128)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(entries))
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:gptHeadSize]))
	return b
}

// uuid is one of version 8 (RFC 9562), made of a digest, so that the same
// image has the same.
func uuid(what, identity string) []byte {
	b := bytesDigest([]byte(what + " " + identity))[:16]
	b[7] = b[7]&0x0f | 0x80 // in the byte order of disks
	b[8] = b[8]&0x3f | 0x80
	return b
}
