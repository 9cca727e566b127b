// Package file makes images of files that the user has: "file:disk.qcow2", a
// disk, or "file:out/web", which stands for web-kernel, web-initrd.img and
// web-cmdline as LinuxKit's own tool leaves them.
//
// It promises that an artifact stays what it was when it was resolved,
// whatever happens to the files later, and that a disk image refers to no
// other file of the host.
package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// Source gives images of local files. It implements [sources.Source].
type Source struct {
	Store *store.Store
	Dir   string // the project's directory; relative refs are below it
	Arch  string // GOARCH of the guests
	// Limits bound what packed disks become; the zero value is good.
	Limits disk.Limits
}

const format = "file/1"

// parts are the files of an image.
type parts struct {
	disk                    string // or:
	kernel, initrd, cmdline string // cmdline may be empty
}

// Resolve reads the files, unless it has read them before and they have not
// changed since by size, time and inode.
func (s Source) Resolve(_ context.Context, img spec.Image) (sources.Digest, error) {
	found, err := s.find(img)
	if err != nil {
		return "", err
	}
	if found.disk != "" {
		d, err := s.fileDigest(found.disk)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", img.Address, err)
		}
		return d, pinned(img, d)
	}
	r, _, err := s.record(found)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", img.Address, err)
	}
	d := r.digest()
	return d, pinned(img, d)
}

// pinned compares d with what the user wrote, if anything.
func pinned(img spec.Image, d sources.Digest) error {
	if img.SHA256 != "" && !strings.EqualFold(img.SHA256, d.Hex()) {
		return fmt.Errorf("%s: %s has sha256 %s, not %s as its block says", img.Address, img.Source, d.Hex(), img.SHA256)
	}
	return nil
}

// find looks for the files of a ref, and at the header of a disk.
func (s Source) find(img spec.Image) (parts, error) {
	ref, ok := strings.CutPrefix(img.Source, "file:")
	if !ok || ref == "" {
		return parts{}, fmt.Errorf("%s: %q is no file ref; write file:PATH", img.Address, img.Source)
	}
	path := filepath.FromSlash(ref)
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.Dir, path)
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		if _, err := disk.Look(path); err != nil {
			return parts{}, fmt.Errorf("%s: %s: %w", img.Address, ref, err)
		}
		return parts{disk: path}, nil
	}
	if err == nil && !info.IsDir() {
		return parts{}, fmt.Errorf("%s: %s is neither a file nor a prefix of files", img.Address, ref)
	}
	return prefixed(img, path)
}

// prefixed finds the files of LinuxKit's format kernel+initrd.
func prefixed(img spec.Image, prefix string) (parts, error) {
	found := parts{kernel: prefix + "-kernel", initrd: prefix + "-initrd.img", cmdline: prefix + "-cmdline"}
	if _, err := os.Stat(found.kernel); errors.Is(err, fs.ErrNotExist) {
		return parts{}, fmt.Errorf("%s: there is no %s, and no %s either", img.Address, prefix, found.kernel)
	}
	if _, err := os.Stat(found.initrd); err != nil {
		return parts{}, fmt.Errorf("%s: a kernel needs its initrd: %w", img.Address, err)
	}
	if _, err := os.Stat(found.cmdline); errors.Is(err, fs.ErrNotExist) {
		found.cmdline = ""
	}
	return found, nil
}

// record identifies a kernel with its initrd and command line.
type record struct {
	Format  string         `json:"format"`
	Kernel  sources.Digest `json:"kernel"`
	Initrd  sources.Digest `json:"initrd"`
	Cmdline string         `json:"cmdline"`
}

func (r record) content() []byte {
	content, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings
	}
	return content
}

func (r record) digest() sources.Digest {
	sum := sha256.Sum256(r.content())
	return sources.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// record also returns the files by their digests.
func (s Source) record(found parts) (record, map[sources.Digest]string, error) {
	kernel, err := s.fileDigest(found.kernel)
	if err != nil {
		return record{}, nil, err
	}
	initrd, err := s.fileDigest(found.initrd)
	if err != nil {
		return record{}, nil, err
	}
	r := record{Format: format, Kernel: kernel, Initrd: initrd}
	if found.cmdline != "" {
		text, err := os.ReadFile(found.cmdline)
		if err != nil {
			return record{}, nil, err
		}
		r.Cmdline = strings.TrimSpace(string(text))
	}
	return r, map[sources.Digest]string{kernel: found.kernel, initrd: found.initrd}, nil
}

// Fetch copies the files into the store, sharing their blocks where the file
// system can. What is there already is used as it is.
func (s Source) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	artifact, err := s.fetch(ctx, img, d, report)
	if err != nil {
		return sources.Artifact{}, fmt.Errorf("fetch %s: %w", img.Address, err)
	}
	return artifact, nil
}

func (s Source) fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	if artifact, ok := s.stored(d); ok {
		return artifact, nil
	}
	found, err := s.find(img)
	if err != nil {
		return sources.Artifact{}, err
	}
	if found.disk != "" {
		if _, err := s.copy(ctx, found.disk, d, report); err != nil {
			return sources.Artifact{}, err
		}
		return s.disks().Artifact(ctx, d, report)
	}
	r, files, err := s.record(found)
	if err != nil {
		return sources.Artifact{}, err
	}
	if r.digest() != d {
		return sources.Artifact{}, fmt.Errorf("%s changed while lkup was at work; run the command again", img.Source)
	}
	for part, path := range files {
		if _, err := s.copy(ctx, path, part, report); err != nil {
			return sources.Artifact{}, err
		}
	}
	if _, err := s.Store.Put(ctx, r.content()); err != nil {
		return sources.Artifact{}, err
	}
	artifact, ok := s.stored(d)
	if !ok {
		return sources.Artifact{}, errors.New("the image store lost a part of it; run the command again")
	}
	return artifact, nil
}

// stored is the artifact of d, if all of it is here.
func (s Source) stored(d sources.Digest) (sources.Artifact, bool) {
	path, _ := s.Store.Blob(d)
	if r, ok := readRecord(path); ok {
		kernel, there := s.Store.Blob(r.Kernel)
		initrd, too := s.Store.Blob(r.Initrd)
		return sources.Artifact{
			Digest: d, Arch: s.Arch, Kernel: kernel, Initrds: []string{initrd}, Cmdline: r.Cmdline,
		}, there && too
	}
	return s.disks().Open(d)
}

func readRecord(path string) (record, bool) {
	const largest = 1 << 16
	info, err := os.Stat(path)
	if err != nil || info.Size() > largest {
		return record{}, false
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return record{}, false
	}
	var r record
	return r, json.Unmarshal(content, &r) == nil && r.Format == format
}

// disks check the header again, of the file that will be used.
func (s Source) disks() disk.Images {
	return disk.Images{Store: s.Store, Arch: s.Arch, Limits: s.Limits}
}

func (s Source) copy(ctx context.Context, from string, d sources.Digest, report sources.Report) (string, error) {
	return s.Store.Fetch(ctx, d, func(to string) error {
		file, err := os.Open(from)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if report != nil {
			report(sources.Progress{What: "copy " + filepath.Base(from)})
		}
		if clone(file, to) == nil {
			return nil
		}
		return store.CopySparse(to, file)
	})
}
