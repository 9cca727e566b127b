package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// diskFormat reads what a disk image is from its header, so that no
// hypervisor has to guess. It refuses one that names other files of the host,
// which a guest's image must not be able to do.
func diskFormat(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		if errors.Is(err, io.EOF) {
			return "", errors.New("the file is empty")
		}
		return "", err
	}
	return formatOf(head[:n])
}

// foreign are formats known by their first bytes that cannot be used yet.
var foreign = []struct{ magic, name, hint string }{
	{"KDMV", "a VMDK disk", "convert it: qemu-img convert -O qcow2 IN OUT"},
	{"COWD", "a VMDK disk", "convert it: qemu-img convert -O qcow2 IN OUT"},
	{"# Disk DescriptorFile", "a VMDK description", "convert it: qemu-img convert -O qcow2 IN OUT"},
	{"vhdxfile", "a VHDX disk", "convert it: qemu-img convert -O qcow2 IN OUT"},
	{"conectix", "a VHD disk", "convert it: qemu-img convert -O qcow2 IN OUT"},
	{"QED\x00", "a QED disk", "convert it: qemu-img convert -O qcow2 IN OUT"},
	{"\x1f\x8b", "compressed with gzip", "unpack it: gunzip FILE"},
	{"\xfd7zXZ\x00", "compressed with xz", "unpack it: xz -d FILE"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it: zstd -d FILE"},
}

func formatOf(head []byte) (string, error) {
	if bytes.HasPrefix(head, []byte("QFI\xfb")) {
		return "qcow2", checkQcow2(head)
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return "", fmt.Errorf("it is %s, which lkup cannot boot yet; %s", f.name, f.hint)
		}
	}
	if isISO(head) && !hasPartitions(head) {
		return "", errors.New("it is a CD image, which lkup cannot boot yet; use a disk image")
	}
	if len(head) < 512 {
		return "", errors.New("it is too short to be a disk")
	}
	return "raw", nil
}

// isISO looks for the volume descriptor of ISO 9660.
func isISO(head []byte) bool { return len(head) > 0x8006 && string(head[0x8001:0x8006]) == "CD001" }

// hasPartitions looks for a boot record: hybrid images are disks as well.
func hasPartitions(head []byte) bool { return head[510] == 0x55 && head[511] == 0xaa }

// Features of qcow2 that change what its bytes mean
// (QEMU's docs/interop/qcow2.txt).
const (
	featureDirty        = 1 << 0
	featureCorrupt      = 1 << 1
	featureExternalData = 1 << 2
	featureCompression  = 1 << 3
	featureExtendedL2   = 1 << 4
)

func checkQcow2(head []byte) error {
	if len(head) < 72 {
		return errors.New("its qcow2 header is cut short")
	}
	version := binary.BigEndian.Uint32(head[4:])
	if version != 2 && version != 3 {
		return fmt.Errorf("it is qcow2 of version %d; lkup knows 2 and 3", version)
	}
	if offset, size := binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint32(head[16:]); offset != 0 || size != 0 {
		return errors.New("it has a backing file; flatten it: qemu-img convert -O qcow2 IN OUT")
	}
	if binary.BigEndian.Uint32(head[32:]) != 0 {
		return errors.New("it is encrypted, and lkup has no key")
	}
	if version == 2 {
		return nil
	}
	if len(head) < 104 {
		return errors.New("its qcow2 header is cut short")
	}
	return checkFeatures(binary.BigEndian.Uint64(head[72:]))
}

func checkFeatures(features uint64) error {
	switch {
	case features&featureExternalData != 0:
		return errors.New("it keeps its data in another file; flatten it: qemu-img convert -O qcow2 IN OUT")
	case features&featureCorrupt != 0:
		return errors.New("it is marked as damaged; repair it: qemu-img check -r all FILE")
	case features&^(featureDirty|featureCompression|featureExtendedL2) != 0:
		return fmt.Errorf("it has features that lkup does not know: %#x", features)
	}
	return nil
}
