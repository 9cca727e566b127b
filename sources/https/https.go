// Package https makes images of disks that lie behind a URL:
// "https://example.org/debian.qcow2", packed or not.
//
// It promises that a disk whose block names its sha256 is resolved without
// asking anybody, that any other is asked for anew at each resolve and
// downloaded only if the server's word is that it changed, and that what is
// downloaded refers to no other file of the host.
package https

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// Source gives images of URLs. It implements [sources.Source].
type Source struct {
	Client *download.Client
	Disks  disk.Images
}

// Resolve gives the digest that the user wrote, or downloads the disk to know
// it.
func (s Source) Resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	d, err := s.resolve(ctx, img)
	if err != nil {
		return "", fmt.Errorf("%s: %w", img.Address, err)
	}
	return d, nil
}

func (s Source) resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	if _, err := download.Parse(img.Source); err != nil {
		return "", fmt.Errorf("%s: %w", download.Shown(img.Source), err)
	}
	if img.SHA256 != "" {
		return sources.Digest("sha256:" + img.SHA256), nil
	}
	last := s.seen(img.Source)
	got, err := s.Client.Get(ctx, download.Request{URL: img.Source, What: what(img.Source), Known: last.Validator}, nil)
	if err != nil {
		return "", err
	}
	if got.Unchanged {
		return last.Digest, nil
	}
	path, ok := s.Disks.Store.Blob(got.Digest)
	if !ok {
		return "", errors.New("the image store lost it; run the command again")
	}
	if _, err := disk.Look(path); err != nil {
		return "", fmt.Errorf("%s: %w", download.Shown(img.Source), err)
	}
	return got.Digest, s.saw(seen{URL: img.Source, Digest: got.Digest, Validator: got.Validator})
}

// what is a download for people.
func what(address string) string {
	u, err := url.Parse(address)
	if err != nil || path.Base(u.Path) == "/" || path.Base(u.Path) == "." {
		return "download disk"
	}
	return "download " + path.Base(u.Path)
}

// Stored reports whether d can be had without the network.
func (s Source) Stored(d sources.Digest) bool { return s.Disks.Stored(d) }

// Fetch downloads the disk, if it is not here, and makes it bootable.
func (s Source) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	artifact, err := s.fetch(ctx, img, d, report)
	if err != nil {
		return sources.Artifact{}, fmt.Errorf("fetch %s: %w", img.Address, err)
	}
	return artifact, nil
}

func (s Source) fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	if artifact, ok := s.Disks.Open(d); ok {
		return artifact, nil
	}
	_, err := s.Client.Get(ctx, download.Request{URL: img.Source, What: what(img.Source), Want: d}, report)
	var mismatch *download.MismatchError
	if errors.As(err, &mismatch) && img.SHA256 == "" {
		return sources.Artifact{}, fmt.Errorf("%w; it changed on the server since it was pinned: plan again, or write its sha256", err)
	}
	if err != nil {
		return sources.Artifact{}, err
	}
	artifact, err := s.Disks.Artifact(ctx, d, report)
	if err != nil {
		return sources.Artifact{}, fmt.Errorf("%s: %w", download.Shown(img.Source), err)
	}
	return artifact, nil
}

// seen is what a URL had when it was last asked.
type seen struct {
	URL    string         `json:"url"`
	Digest sources.Digest `json:"digest"`
	download.Validator
}

func (s Source) seenPath(address string) string {
	return filepath.Join(s.Disks.Store.Dir("https"), store.Key("https", address).Hex()+".json")
}

// seen is empty if nothing is known, or of no use: then all is downloaded.
func (s Source) seen(address string) seen {
	content, err := os.ReadFile(s.seenPath(address))
	var last seen
	if err != nil || json.Unmarshal(content, &last) != nil || last.URL != address || !last.Digest.Valid() {
		return seen{}
	}
	return last
}

func (s Source) saw(now seen) error {
	content, err := json.Marshal(now)
	if err != nil {
		return err
	}
	path := s.seenPath(now.URL)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(path, content, 0o600)
}
