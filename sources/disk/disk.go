// Package disk reads what a disk image is from its own bytes, and makes of it
// a file that a driver can boot from.
//
// It promises that what it lets through refers to no other file of the host,
// is what it says it is, and takes no more room than its limits allow. It
// never goes by a file's name, and starts no program.
package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Formats that drivers boot from.
const (
	Raw   = "raw"
	Qcow2 = "qcow2"
	ISO   = "iso" // a CD, which is no disk
)

// vmdk is a format that is read, and turned into raw.
const vmdk = "vmdk"

// headSize is how much of a disk decides what it is.
const headSize = 64 << 10

// Header is what the first bytes of a file say. One of the two is set.
type Header struct {
	Format string // raw, qcow2, iso or vmdk
	Packed string // gzip, xz, zstd or bzip2: what it is shows when it is unpacked
}

// Ready reports whether a driver can boot from the file as it is.
func (h Header) Ready() bool { return h.Format == Raw || h.Format == Qcow2 || h.Format == ISO }

// String says it to a person.
func (h Header) String() string {
	if h.Packed != "" {
		return "packed with " + h.Packed
	}
	return h.Format
}

// Look reads a disk's header. It refuses one that names other files of the
// host, which a guest's image must not be able to do, and whatever cannot be
// a disk.
func Look(path string) (Header, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would have it wait
	if err != nil {
		return Header{}, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return Header{}, err
	}
	if !info.Mode().IsRegular() {
		return Header{}, errors.New("it is no regular file; copy what it holds to one: qemu-img convert -O qcow2 IN OUT")
	}
	return Read(file, info.Size())
}

// Read is [Look] for a disk that is no file, of so many bytes.
func Read(r io.ReaderAt, size int64) (Header, error) {
	if size == 0 {
		return Header{}, errors.New("the file is empty")
	}
	head := make([]byte, min(size, headSize))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return Header{}, err
	}
	for _, p := range packings {
		if bytes.HasPrefix(head, []byte(p.magic)) {
			return Header{Packed: p.name}, nil
		}
	}
	format, err := formatOf(r, head, size)
	return Header{Format: format}, err
}

func formatOf(r io.ReaderAt, head []byte, size int64) (string, error) {
	switch {
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		return Qcow2, checkQcow2(head, size)
	case bytes.HasPrefix(head, []byte("KDMV")):
		_, err := readVMDK(r, size)
		return vmdk, err
	}
	if err := foreign(head); err != nil {
		return "", err
	}
	if isISO(head) && !hasPartitions(head) {
		_, err := bootsCD(r, size)
		return ISO, err
	}
	if len(head) < 512 {
		return "", errors.New("it is too short to be a disk")
	}
	return Raw, nil
}

const convert = "convert it: qemu-img convert -O qcow2 IN OUT"

// foreign tells of what is known by its first bytes and cannot be used.
func foreign(head []byte) error {
	for _, f := range []struct{ magic, name, hint string }{
		{"COWD", "a VMDK disk of the old kind", convert},
		{"# Disk DescriptorFile", "only the description of a VMDK disk, whose data lies in other files", convert},
		{"vhdxfile", "a VHDX disk", convert},
		{"conectix", "a VHD disk", convert},
		{"QED\x00", "a QED disk", convert},
		{"<<< Oracle VM VirtualBox Disk Image", "a VDI disk", convert},
		{"PK\x03\x04", "a zip archive", "unpack it, and name the disk in it"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and name the disk in it"},
		{"\x04\x22\x4d\x18", "compressed with lz4", "unpack it: lz4 -d IN OUT"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return fmt.Errorf("it is %s; %s", f.name, f.hint)
		}
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return errors.New("it is a tar archive; unpack it, and name the disk in it")
	}
	start := bytes.ToLower(bytes.TrimSpace(head[:min(len(head), 64)]))
	if bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html")) {
		return errors.New("it is a web page, not a disk; look at it in a browser to see what the server says")
	}
	return nil
}

// isISO looks for the volume descriptor of ISO 9660.
func isISO(head []byte) bool { return len(head) > 0x8006 && string(head[0x8001:0x8006]) == "CD001" }

// hasPartitions looks for a boot record: hybrid images are disks as well.
func hasPartitions(head []byte) bool { return head[510] == 0x55 && head[511] == 0xaa }
