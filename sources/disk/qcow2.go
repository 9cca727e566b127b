package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Features of qcow2 that change what its bytes mean
// (QEMU's docs/interop/qcow2.txt).
const (
	featureDirty        = 1 << 0
	featureCorrupt      = 1 << 1
	featureExternalData = 1 << 2
	featureCompression  = 1 << 3
	featureExtendedL2   = 1 << 4
)

// Header extensions of qcow2 that lead out of the file, or need a key.
const (
	extensionEnd        = 0
	extensionData       = 0x44415441
	extensionEncryption = 0x0537be77
)

// Bounds of what qcow2's header may ask for. QEMU's own are wider only where
// no disk of use lies between.
const (
	maxVirtualSize   = 64 << 40
	maxL1Bytes       = 32 << 20
	maxRefcountBytes = 8 << 20
	maxSnapshots     = 65536
)

var errCutShort = errors.New("its qcow2 header is cut short")

func checkQcow2(head []byte, size int64) error {
	if len(head) < 72 {
		return errCutShort
	}
	version := binary.BigEndian.Uint32(head[4:])
	if version != 2 && version != 3 {
		return fmt.Errorf("it is qcow2 of version %d; lkup knows 2 and 3", version)
	}
	if offset, length := binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint32(head[16:]); offset != 0 || length != 0 {
		return errors.New("it has a backing file; flatten it: qemu-img convert -O qcow2 IN OUT")
	}
	if binary.BigEndian.Uint32(head[32:]) != 0 {
		return errors.New("it is encrypted, and lkup has no key")
	}
	headerLength, features := uint32(72), uint64(0)
	if version == 3 {
		if len(head) < 104 {
			return errCutShort
		}
		features = binary.BigEndian.Uint64(head[72:])
		headerLength = binary.BigEndian.Uint32(head[100:])
		if err := checkFeatures(features); err != nil {
			return err
		}
		if order := binary.BigEndian.Uint32(head[96:]); order > 6 {
			return absurd("a reference count of 2^%d bits", order)
		}
		if headerLength < 104 || headerLength%8 != 0 {
			return absurd("a header of %d bytes", headerLength)
		}
	}
	if err := checkGeometry(head, size, features); err != nil {
		return err
	}
	return checkExtensions(head, headerLength)
}

func absurd(what string, args ...any) error {
	return fmt.Errorf("its header makes no sense: "+what, args...)
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

// checkGeometry looks at sizes and at where the tables lie.
func checkGeometry(head []byte, size int64, features uint64) error {
	bits := binary.BigEndian.Uint32(head[20:])
	if bits < 9 || bits > 21 {
		return absurd("clusters of 2^%d bytes", bits)
	}
	cluster := uint64(1) << bits
	virtual := binary.BigEndian.Uint64(head[24:])
	if virtual == 0 || virtual > maxVirtualSize {
		return absurd("a disk of %d bytes", virtual)
	}
	entry := uint64(8)
	if features&featureExtendedL2 != 0 {
		entry = 16
	}
	entries := uint64(binary.BigEndian.Uint32(head[36:]))
	covered := cluster * (cluster / entry)
	if entries*8 > maxL1Bytes || entries < (virtual+covered-1)/covered {
		return absurd("%d entries of its first table for a disk of %d bytes", entries, virtual)
	}
	if err := inside("first table", binary.BigEndian.Uint64(head[40:]), entries*8, cluster, size); err != nil {
		return err
	}
	clusters := uint64(binary.BigEndian.Uint32(head[56:]))
	if clusters == 0 || clusters*cluster > max(maxRefcountBytes, cluster) {
		return absurd("%d clusters of reference counts", clusters)
	}
	// The last cluster of a file need not be whole.
	if err := inside("reference counts", binary.BigEndian.Uint64(head[48:]), (clusters-1)*cluster+8, cluster, size); err != nil {
		return err
	}
	snapshots := binary.BigEndian.Uint32(head[60:])
	if snapshots > maxSnapshots {
		return absurd("%d snapshots", snapshots)
	}
	if snapshots == 0 {
		return nil
	}
	return inside("snapshots", binary.BigEndian.Uint64(head[64:]), 40*uint64(snapshots), cluster, size)
}

// inside checks that a table lies in the file, behind its header.
func inside(what string, offset, length, cluster uint64, size int64) error {
	if offset == 0 || offset%cluster != 0 || offset > uint64(size) || length > uint64(size)-offset {
		return absurd("%s at %d, in a file of %d bytes", what, offset, size)
	}
	return nil
}

// checkExtensions walks the extensions behind the header. QEMU heeds one that
// names a data file only with the feature that goes with it; nobody else
// writes one.
func checkExtensions(head []byte, at uint32) error {
	for {
		if uint64(at)+8 > uint64(len(head)) {
			return absurd("header extensions without an end")
		}
		kind, length := binary.BigEndian.Uint32(head[at:]), binary.BigEndian.Uint32(head[at+4:])
		switch kind {
		case extensionEnd:
			return nil
		case extensionData:
			return errors.New("it names another file for its data; flatten it: qemu-img convert -O qcow2 IN OUT")
		case extensionEncryption:
			return errors.New("it is encrypted, and lkup has no key")
		}
		if length > headSize {
			return absurd("a header extension of %d bytes", length)
		}
		at += 8 + (length+7)&^7
	}
}
