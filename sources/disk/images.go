package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Images makes artifacts of disks in the store. A disk's digest is that of the
// file as it came, packed or not. It has no state.
type Images struct {
	Store  *store.Store
	Arch   string // GOARCH of the guests
	Limits Limits
}

// Names of the files that an unpacked disk is stored as.
const (
	diskFile   = "disk"
	formatFile = "format"
)

// unpackedKey names what becomes of the blob d.
func unpackedKey(d sources.Digest) sources.Digest { return store.Key("disk/1", string(d)) }

// Open is the artifact of d, if all of it is here. A packed disk whose
// unpacked form is gone is not, though nothing need be fetched; see
// [Images.Stored].
func (i Images) Open(d sources.Digest) (sources.Artifact, bool) {
	if dir, ok := i.Store.Built(unpackedKey(d)); ok {
		artifact, err := i.unpacked(d, dir)
		return artifact, err == nil
	}
	path, ok := i.Store.Blob(d)
	if !ok {
		return sources.Artifact{}, false
	}
	header, err := Look(path)
	if err != nil || !header.Ready() {
		return sources.Artifact{}, false
	}
	artifact, err := i.artifact(d, path, header.Format)
	return artifact, err == nil
}

// Stored reports whether d can be had without fetching anything.
func (i Images) Stored(d sources.Digest) bool {
	if _, ok := i.Store.Blob(d); ok {
		return true
	}
	_, ok := i.Open(d)
	return ok
}

// Artifact makes the blob d bootable: it checks its header, and unpacks and
// converts it where need be, once however many ask.
func (i Images) Artifact(ctx context.Context, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	if artifact, ok := i.Open(d); ok {
		return artifact, nil
	}
	path, ok := i.Store.Blob(d)
	if !ok {
		return sources.Artifact{}, errors.New("the image store lost it; run the command again")
	}
	header, err := Look(path)
	if err != nil {
		return sources.Artifact{}, err
	}
	if header.Ready() {
		return i.artifact(d, path, header.Format)
	}
	if err := i.Store.Note(d, store.Note{Refs: []sources.Digest{unpackedKey(d)}}); err != nil {
		return sources.Artifact{}, err
	}
	dir, err := i.Store.Build(ctx, unpackedKey(d), func(dir string) error {
		format, err := ready(ctx, path, filepath.Join(dir, diskFile), header, i.Limits, report)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, formatFile), []byte(format), 0o600)
	})
	if err != nil {
		return sources.Artifact{}, err
	}
	return i.unpacked(d, dir)
}

func (i Images) artifact(d sources.Digest, path, format string) (sources.Artifact, error) {
	firmware, err := Firmware(path, format)
	return sources.Artifact{Digest: d, Arch: i.Arch, Disk: path, DiskFormat: format, Firmware: firmware}, err
}

func (i Images) unpacked(d sources.Digest, dir string) (sources.Artifact, error) {
	format, err := os.ReadFile(filepath.Join(dir, formatFile))
	if err != nil {
		return sources.Artifact{}, err
	}
	return i.artifact(d, filepath.Join(dir, diskFile), string(format))
}

// ready writes to a path what a driver can boot from, and says its format.
func ready(ctx context.Context, from, to string, header Header, limits Limits, report sources.Report) (string, error) {
	if report == nil {
		report = func(sources.Progress) {}
	}
	if header.Packed != "" {
		told := func(done, total int64) { report(sources.Progress{What: "unpack disk", Done: done, Total: total}) }
		if err := unpack(ctx, from, to, header.Packed, limits, told); err != nil {
			return "", err
		}
		inner, err := Look(to)
		switch {
		case err != nil:
			return "", fmt.Errorf("unpacked: %w", err)
		case inner.Packed != "":
			return "", fmt.Errorf("it is packed twice, with %s and %s; unpack it once", header.Packed, inner.Packed)
		case inner.Ready():
			return inner.Format, nil
		}
		sparse := to + ".vmdk"
		if err := os.Rename(to, sparse); err != nil {
			return "", err
		}
		defer func() { _ = os.Remove(sparse) }()
		from = sparse
	}
	report(sources.Progress{What: "convert disk"})
	return Raw, expand(ctx, from, to, limits)
}

// expand makes a raw disk of a VMDK.
func expand(ctx context.Context, from, to string, limits Limits) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	s, err := readVMDK(file, info.Size())
	if err != nil {
		return err
	}
	out, err := create(to, info.Size(), limits)
	if err != nil {
		return err
	}
	if err := s.copy(ctx, file, info.Size(), out); err != nil {
		_ = out.file.Close()
		return err
	}
	return out.close()
}
