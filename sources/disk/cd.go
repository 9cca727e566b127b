package disk

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/lkup/lkup/spec"
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

// Firmware says which firmware a disk that [Look] let through needs: UEFI or BIOS
// if nothing else would start it, [sources.NoFirmware] if nothing would. What it
// cannot tell is empty.
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
	switch format {
	case ISO:
		platforms, err := bootsCD(file, info.Size())
		return cdFirmware(platforms), err
	case Raw:
		head := make([]byte, headSize)
		if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return diskFirmware(head), nil
	case Qcow2:
		return diskFirmware(qcow2Head(file)), nil
	}
	return "", nil
}

func cdFirmware(platforms []byte) string {
	switch efi := slices.Contains(platforms, platformEFI); {
	case efi && !slices.ContainsFunc(platforms, func(p byte) bool { return p != platformEFI }):
		return spec.FirmwareUEFI
	case !efi && slices.Contains(platforms, platformBIOS):
		return spec.FirmwareBIOS
	}
	return ""
}
