package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Partitions' types, as they lie on the disk (UEFI specification, section 5).
const (
	mbrEFI        = 0xef
	mbrProtective = 0xee
	gptEFI        = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	gptUnused     = "00000000-0000-0000-0000-000000000000"
	bootCode      = 440 // bytes at the start, that a BIOS runs
)

// neverFAT are types of partitions in which UEFI finds nothing to start: that of
// CDs which are disks, too, and Linux's for swap, data, LVM and RAID.
var neverFAT = []byte{0x17, 0x82, 0x83, 0x8e, 0xfd}

// neverFATs are those types in a GUID partition table: Linux's data, swap, LVM,
// RAID, home and roots (x86-64, arm64), and what GRUB lies in for a BIOS.
var neverFATs = []string{
	"0fc63daf-8483-4772-8e79-3d69d8477de4", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "e6d6d379-f507-44c2-a23c-238f2a3df928",
	"a19d880f-05fc-4d3b-a006-743f0f84911e", "933ac7e1-2eb4-4f13-b844-0e14e2aef915", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
	"b921b045-1df0-41c3-af44-4c6f280d3fae", "21686148-6449-6e6f-744e-656564454649",
}

// diskFirmware is what starts a disk, of which head is the beginning: UEFI if it
// has an EFI system partition and nothing that a BIOS could run, BIOS if it has
// code and no partition that UEFI could read, and none with neither.
func diskFirmware(head []byte) string {
	if len(head) < 512 || !hasPartitions(head) {
		return ""
	}
	code := !bytes.Equal(head[:bootCode], zeros[:bootCode])
	system, other := efiPartitions(head)
	switch {
	case system && !code:
		return spec.FirmwareUEFI
	case system || other:
		return ""
	case code:
		return spec.FirmwareBIOS
	}
	return sources.NoFirmware
}

// efiPartitions reports whether a disk has an EFI system partition, and whether
// it has others in which UEFI may find something to start.
func efiPartitions(head []byte) (system, other bool) {
	for n := range 4 {
		switch kind := head[446+16*n+4]; {
		case kind == mbrEFI:
			system = true
		case kind == mbrProtective:
			s, o := efiGPT(head)
			system, other = system || s, other || o
		case kind != 0 && !slices.Contains(neverFAT, kind):
			other = true
		}
	}
	return system, other
}

// efiGPT is efiPartitions for the entries of a GUID partition table that lie in
// head. What lies elsewhere may be anything.
func efiGPT(head []byte) (system, other bool) {
	if len(head) < 1024 || string(head[512:520]) != "EFI PART" {
		return false, true
	}
	first := binary.LittleEndian.Uint64(head[512+72:])
	count := binary.LittleEndian.Uint32(head[512+80:])
	size := binary.LittleEndian.Uint32(head[512+84:])
	if first > headSize/sector || size < 128 || size > 4096 {
		return false, true
	}
	at := int(first) * sector
	for ; count > 0 && at+16 <= len(head); at += int(size) {
		switch kind := guid(head[at:]); {
		case kind == gptEFI:
			system = true
		case kind != gptUnused && !slices.Contains(neverFATs, kind):
			other = true
		}
		count--
	}
	return system, other || count > 0
}

// guid writes out one that lies in b, its first three numbers little-endian.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
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
