package disk

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/lkup/lkup/sources"
)

// Places on a CD (ECMA-119; El Torito 1.0, section 2).
const (
	cdSector       = 2048
	cdBootRecord   = 17 // the sector of El Torito's volume descriptor
	cdMostSections = 64 // in a catalog: two or three are usual
	platformBIOS   = 0
	platformEFI    = 0xef
)

var errNoBoot = errors.New("it is a CD image that no firmware can start, for it has no boot catalog; use a disk image, or another CD")

// bootsCD reads what a CD's boot catalog holds: which firmwares start it.
func bootsCD(r io.ReaderAt, size int64) (platforms []byte, err error) {
	record := make([]byte, cdSector)
	if _, err := r.ReadAt(record, cdBootRecord*cdSector); err != nil {
		return nil, errNoBoot
	}
	if record[0] != 0 || string(record[1:6]) != "CD001" || string(record[7:30]) != "EL TORITO SPECIFICATION" {
		return nil, errNoBoot
	}
	at := int64(binary.LittleEndian.Uint32(record[71:])) * cdSector
	catalog := make([]byte, cdSector)
	if at > size-64 {
		return nil, errors.New("its boot catalog lies outside of the file, which may be cut short")
	}
	if _, err := r.ReadAt(catalog, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if catalog[0] != 1 || catalog[30] != 0x55 || catalog[31] != 0xaa {
		return nil, errors.New("its boot catalog makes no sense")
	}
	return sections(catalog), nil
}

// sections lists the platforms of a catalog's entries that can be started: the
// first, and those of the sections behind it.
func sections(catalog []byte) (platforms []byte) {
	const entry, bootable = 32, 0x88
	if catalog[entry] == bootable {
		platforms = append(platforms, catalog[1])
	}
	at := 2 * entry
	for range cdMostSections {
		if at+2*entry > len(catalog) || catalog[at] != 0x90 && catalog[at] != 0x91 {
			break
		}
		if catalog[at+entry] == bootable {
			platforms = append(platforms, catalog[at+1])
		}
		if catalog[at] == 0x91 {
			break // the last
		}
		at += entry * (1 + int(binary.LittleEndian.Uint16(catalog[at+2:])))
	}
	return platforms
}

// Firmware says which firmware a disk that [Look] let through needs: UEFI if
// nothing else would start it, else empty. What it cannot tell is empty too.
func Firmware(path, format string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	efi := false
	switch format {
	case ISO:
		platforms, err := bootsCD(file, info.Size())
		if err != nil {
			return "", err
		}
		efi = onlyEFI(platforms)
	case Raw:
		head := make([]byte, headSize)
		if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		efi = efiDisk(head)
	case Qcow2:
		efi = efiDisk(qcow2Head(file))
	}
	if efi {
		return sources.UEFI, nil
	}
	return "", nil
}

func onlyEFI(platforms []byte) bool {
	for _, p := range platforms {
		if p != platformEFI {
			return false
		}
	}
	return len(platforms) > 0
}
