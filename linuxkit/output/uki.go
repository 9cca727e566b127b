package output

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// peSection is a section that a program gets: content, or what lies at path.
type peSection struct {
	name    string
	content []byte
	path    string
}

// Offsets in a PE32+ header (Microsoft's PE format, sections 3 and 4).
const (
	peSections     = 6  // number of sections
	peOptionalSize = 20 // size of the optional header
	peOptional     = 24 // the optional header
	peAlignment    = peOptional + 32
	peImageSize    = peOptional + 56
	peHeadersSize  = peOptional + 60
	peChecksum     = peOptional + 64
	peRecord       = 40      // a section's record
	peReadOnly     = 1 << 30 // flags of a section
	peData         = 1 << 6
)

// writeUKI appends sections to an EFI stub, which finds them by name in
// memory.
func writeUKI(path string, stub []byte, sections []peSection) error {
	stub = bytes.Clone(stub)
	pe, table, err := peTable(stub, len(sections))
	if err != nil {
		return err
	}
	header := stub[pe:]
	fileAlign := int64(binary.LittleEndian.Uint32(header[peAlignment+4:]))
	// A page at least, whatever the stub says, so that what lies in one
	// section cannot share its protection with another.
	align := max(int64(binary.LittleEndian.Uint32(header[peAlignment:])), 4096)
	address := roundUp(int64(binary.LittleEndian.Uint32(header[peImageSize:])), align)
	at := roundUp(int64(len(stub)), fileAlign)
	for i, s := range sections {
		size, err := s.size()
		if err != nil {
			return err
		}
		if address+size >= 1<<31 {
			return errors.New("an EFI program of 2 GiB or more does not start; make the initrd smaller")
		}
		r := stub[table+i*peRecord:][:peRecord]
		copy(r, s.name)
		for j, n := range []int64{size, address, roundUp(size, fileAlign), at} {
			binary.LittleEndian.PutUint32(r[8+4*j:], uint32(n))
		}
		binary.LittleEndian.PutUint32(r[36:], peReadOnly|peData)
		address, at = roundUp(address+size, align), at+roundUp(size, fileAlign)
	}
	binary.LittleEndian.PutUint16(header[peSections:], binary.LittleEndian.Uint16(header[peSections:])+uint16(len(sections)))
	binary.LittleEndian.PutUint32(header[peImageSize:], uint32(address))
	binary.LittleEndian.PutUint32(header[peChecksum:], 0) // EFI does not look
	return create(path, func(w io.Writer) error { return writeSections(w, stub, fileAlign, sections) })
}

// peTable finds the PE header, and where further records of sections go.
func peTable(stub []byte, more int) (pe, end int, err error) {
	bad := errors.New("the EFI stub is no EFI program")
	if len(stub) < 0x40 || string(stub[:2]) != "MZ" {
		return 0, 0, bad
	}
	pe = int(binary.LittleEndian.Uint32(stub[0x3c:]))
	if pe < 0 || pe+peOptional+112 > len(stub) || string(stub[pe:pe+4]) != "PE\x00\x00" {
		return 0, 0, bad
	}
	count := int(binary.LittleEndian.Uint16(stub[pe+peSections:]))
	end = pe + peOptional + int(binary.LittleEndian.Uint16(stub[pe+peOptionalSize:])) + count*peRecord
	headers := int(binary.LittleEndian.Uint32(stub[pe+peHeadersSize:]))
	if headers > len(stub) || end+more*peRecord > headers {
		return 0, 0, errNoRoom
	}
	return pe, end, nil
}

func writeSections(w io.Writer, stub []byte, align int64, sections []peSection) error {
	if _, err := w.Write(padTo(stub, int(roundUp(int64(len(stub)), align)))); err != nil {
		return err
	}
	for _, s := range sections {
		size, err := s.size()
		if err != nil {
			return err
		}
		if err := orZeros(s.write(w), w, roundUp(size, align)-size); err != nil {
			return err
		}
	}
	return nil
}

func (s peSection) size() (int64, error) {
	if s.path == "" {
		return int64(len(s.content)), nil
	}
	return fileSize(s.path)
}

func (s peSection) write(w io.Writer) error {
	if s.path == "" {
		_, err := w.Write(s.content)
		return err
	}
	return join(w, []string{s.path})
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
