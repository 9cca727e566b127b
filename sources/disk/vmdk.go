package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// Parts of a VMDK's sparse extent (VMware's Virtual Disk Format 5.0).
const (
	sector = 512
	// entriesPerTable is what every program writes.
	entriesPerTable = 512

	flagZeroGrains = 1 << 2
	flagCompressed = 1 << 16
	flagMarkers    = 1 << 17

	// directoryAtEnd says that the header that counts is at the end.
	directoryAtEnd = 1<<64 - 1

	maxDescriptor = 1 << 20
)

// sparse is the header of a VMDK that is one sparse file. Everything but
// grains is in sectors.
type sparse struct {
	capacity   uint64
	grain      int64 // bytes
	directory  uint64
	compressed bool
	zeroGrains bool
}

// readVMDK reads and checks the headers of a VMDK. It is the only reader that
// a VMDK meets: what it refuses is never opened by anything else, and neither
// it nor [sparse.copy] opens another file.
func readVMDK(r io.ReaderAt, size int64) (sparse, error) {
	head := make([]byte, sector)
	if _, err := r.ReadAt(head, 0); err != nil {
		return sparse{}, errors.New("its VMDK header is cut short")
	}
	s, err := parseSparse(head)
	if err != nil {
		return sparse{}, err
	}
	if err := checkDescriptor(r, head, size); err != nil {
		return sparse{}, err
	}
	if s.directory != directoryAtEnd {
		return s, s.checkDirectory(size)
	}
	// The end: a marker, the footer, and a marker that ends it, a sector each.
	footer := make([]byte, sector)
	if size < 4*sector {
		return sparse{}, errors.New("its VMDK footer is missing; it may be cut short")
	}
	if _, err := r.ReadAt(footer, size-2*sector); err != nil {
		return sparse{}, err
	}
	if !bytes.HasPrefix(footer, []byte("KDMV")) {
		return sparse{}, errors.New("its VMDK footer is missing; it may be cut short")
	}
	f, err := parseSparse(footer)
	if err != nil {
		return sparse{}, err
	}
	if f.capacity != s.capacity || f.grain != s.grain || f.compressed != s.compressed || f.directory == directoryAtEnd {
		return sparse{}, absurd("a VMDK footer that says something else than the header")
	}
	return f, f.checkDirectory(size)
}

func parseSparse(head []byte) (sparse, error) {
	u16, u32, u64 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if version := u32(head[4:]); version < 1 || version > 3 {
		return sparse{}, fmt.Errorf("it is VMDK of version %d; lkup knows 1 to 3", version)
	}
	flags, grain := u32(head[8:]), u64(head[20:])
	s := sparse{
		capacity:   u64(head[12:]),
		directory:  u64(head[56:]),
		zeroGrains: flags&flagZeroGrains != 0,
		compressed: flags&flagCompressed != 0,
	}
	switch {
	case s.capacity == 0 || s.capacity > maxVirtualSize/sector:
		return sparse{}, absurd("a disk of %d sectors", s.capacity)
	case grain < 8 || grain > 4096 || grain&(grain-1) != 0:
		return sparse{}, absurd("grains of %d sectors", grain)
	case u32(head[44:]) != entriesPerTable:
		return sparse{}, absurd("tables of %d entries", u32(head[44:]))
	case s.compressed && (u16(head[77:]) != 1 || flags&flagMarkers == 0):
		return sparse{}, errors.New("it is compressed in a way that lkup does not know; " + convert)
	case !s.compressed && u16(head[77:]) != 0:
		return sparse{}, absurd("a compression that no grain uses")
	}
	s.grain = int64(grain) * sector
	return s, nil
}

// tables is how many grain tables the disk has.
func (s sparse) tables() int64 {
	perTable := uint64(s.grain/sector) * entriesPerTable
	return int64((s.capacity + perTable - 1) / perTable)
}

func (s sparse) checkDirectory(size int64) error {
	length := 4 * s.tables()
	if s.directory == 0 || s.directory > uint64(size)/sector || length > size-int64(s.directory)*sector {
		return absurd("a grain directory at sector %d, in a file of %d bytes", s.directory, size)
	}
	return nil
}

// extentLine is a line of the description that names a part of the disk:
// RW 4192256 SPARSE "disk.vmdk"
var extentLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?mi)^\s*(?:RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"\n]*)")?`)
})

var createType = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?mi)^\s*createType\s*=\s*"?([^"\s]*)"?`)
})

var parentID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?mi)^\s*parentCID\s*=\s*"?([^"\s]*)"?`)
})

var errPart = errors.New("it is only one part of a VMDK disk in several files; join them: qemu-img convert -O qcow2 DESCRIPTION.vmdk OUT")

// checkDescriptor reads the description inside of the file. It must be of a
// disk that is this one file.
func checkDescriptor(r io.ReaderAt, head []byte, size int64) error {
	offset, length := binary.LittleEndian.Uint64(head[28:]), binary.LittleEndian.Uint64(head[36:])
	if offset == 0 || length == 0 {
		return errPart
	}
	if length > maxDescriptor/sector || offset > uint64(size)/sector || length*sector > uint64(size)-offset*sector {
		return absurd("a description of %d sectors at sector %d, in a file of %d bytes", length, offset, size)
	}
	content := make([]byte, length*sector)
	if _, err := r.ReadAt(content, int64(offset)*sector); err != nil {
		return err
	}
	text, _, _ := strings.Cut(string(content), "\x00")
	return checkDescription(strings.ReplaceAll(text, "\r", "\n"))
}

func checkDescription(text string) error {
	if text == "" {
		return errPart
	}
	if strings.Contains(strings.ToLower(text), "parentfilenamehint") {
		return errors.New("it has a parent in another file; flatten it: qemu-img convert -O qcow2 IN OUT")
	}
	if id := parentID().FindStringSubmatch(text); id != nil && !strings.EqualFold(id[1], "ffffffff") {
		return errors.New("it is the difference to another disk, which is not here; flatten it: qemu-img convert -O qcow2 IN OUT")
	}
	kind := createType().FindStringSubmatch(text)
	if kind == nil {
		return absurd("a VMDK description without createType")
	}
	if kind[1] != "monolithicSparse" && kind[1] != "streamOptimized" {
		return fmt.Errorf("it is VMDK of the kind %q, whose data lies in other files; convert it where they are: qemu-img convert -O qcow2 IN OUT", kind[1])
	}
	extents := extentLine().FindAllStringSubmatch(text, -1)
	if len(extents) != 1 {
		return fmt.Errorf("it has %d extents instead of one, in other files; convert it where they are: qemu-img convert -O qcow2 IN OUT", len(extents))
	}
	if e := extents[0]; !strings.EqualFold(e[2], "SPARSE") || strings.ContainsAny(e[3], `/\`) {
		return fmt.Errorf("its extent is %s %q, outside of it; convert it where that is: qemu-img convert -O qcow2 IN OUT", e[2], e[3])
	}
	return nil
}
