package disk

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"

	"github.com/lkup/lkup/spec"
)

// Partitions' types, as they lie on the disk (UEFI specification, section 5).
const (
	mbrEFI        = 0xef
	mbrProtective = 0xee
	gptEFI        = "\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b"
	bootCode      = 440 // bytes at the start, that a BIOS runs
)

// neverFAT are types of partitions in which UEFI finds nothing to start: that of
// CDs which are disks, too, and Linux's for swap, data, LVM and RAID.
var neverFAT = []byte{0x17, 0x82, 0x83, 0x8e, 0xfd}

// diskFirmware is what starts a disk, of which head is the beginning: UEFI if it
// has an EFI system partition and nothing that a BIOS could run, BIOS if that is
// the other way round. A GUID partition table rules nothing out for UEFI.
func diskFirmware(head []byte) string {
	if len(head) < 512 || !hasPartitions(head) {
		return ""
	}
	if bytes.Equal(head[:bootCode], zeros[:bootCode]) {
		if efiDisk(head) {
			return spec.FirmwareUEFI
		}
		return ""
	}
	for n := range 4 {
		if kind := head[446+16*n+4]; kind != 0 && !slices.Contains(neverFAT, kind) {
			return ""
		}
	}
	return spec.FirmwareBIOS
}

// efiDisk reports whether a disk has an EFI system partition.
func efiDisk(head []byte) bool {
	for n := range 4 {
		switch head[446+16*n+4] {
		case mbrEFI:
			return true
		case mbrProtective:
			return efiGPT(head)
		}
	}
	return false
}

// efiGPT looks through the entries of a GUID partition table that lie in head.
func efiGPT(head []byte) bool {
	if len(head) < 1024 || string(head[512:520]) != "EFI PART" {
		return false
	}
	first := binary.LittleEndian.Uint64(head[512+72:])
	count := binary.LittleEndian.Uint32(head[512+80:])
	size := binary.LittleEndian.Uint32(head[512+84:])
	if first > headSize/sector || size < 128 || size > 4096 {
		return false
	}
	for at := int(first) * sector; count > 0 && at+16 <= len(head); at += int(size) {
		if string(head[at:at+16]) == gptEFI {
			return true
		}
		count--
	}
	return false
}

// qcow2Head is the beginning of what a guest sees of a qcow2 disk, as far as
// its first cluster reaches; nil if it is compressed, not there, or outside of
// the file.
func qcow2Head(r io.ReaderAt) []byte {
	header := make([]byte, 72)
	if _, err := r.ReadAt(header, 0); err != nil {
		return nil
	}
	bits := binary.BigEndian.Uint32(header[20:])
	if bits < 9 || bits > 21 {
		return nil
	}
	const offset, compressed = 0x00fffffffffffe00, 1 << 62
	entry := make([]byte, 8)
	at := binary.BigEndian.Uint64(header[40:])
	for range 2 { // the tables of both levels
		if at == 0 || at > 1<<62 {
			return nil
		}
		if _, err := r.ReadAt(entry, int64(at)); err != nil {
			return nil
		}
		at = binary.BigEndian.Uint64(entry)
		if at&compressed != 0 {
			return nil
		}
		at &= offset
	}
	if at == 0 {
		return nil
	}
	head := make([]byte, min(headSize, 1<<bits))
	n, _ := r.ReadAt(head, int64(at)) // what is short is looked at as far as it goes
	return head[:n]
}
