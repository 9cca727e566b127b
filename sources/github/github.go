// Package github makes images of disks that are assets of GitHub releases:
// "github:OWNER/REPO@TAG/ASSET", where TAG may be "latest" and ASSET a pattern.
//
// It promises that what GitHub or the release itself says about an asset's
// digest holds of what it gives, and that the token reaches nobody but the API
// that it was given for. It speaks the REST API, and starts no program.
package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/spec"
)

// Source gives images of release assets. It implements [sources.Source].
type Source struct {
	Client    *download.Client
	Disks     disk.Images
	API       string // the API's root; "": DefaultAPI
	Token     string // "": none
	TokenFrom string // the environment variable that it is from, for people
	Now       func() time.Time
}

// Resolve gives the digest that the user wrote, else the one that the release
// names, else that of the asset, which it downloads to know it.
func (s Source) Resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	d, err := s.resolve(ctx, img)
	if err != nil {
		return "", fmt.Errorf("%s: %w", img.Address, err)
	}
	return d, nil
}

func (s Source) resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	r, err := parseRef(img.Source)
	if err != nil {
		return "", err
	}
	if img.SHA256 != "" {
		return sources.Digest("sha256:" + img.SHA256), nil
	}
	found, err := s.release(ctx, r)
	if err != nil {
		return "", err
	}
	a, err := r.find(found.Assets)
	if err != nil {
		return "", err
	}
	return s.digest(ctx, r, found.Assets, a)
}

// digest is that of an asset. It is remembered for as long as neither the
// asset nor the checksums beside it change.
func (s Source) digest(ctx context.Context, r ref, all []asset, a asset) (sources.Digest, error) {
	key, circumstances := "github:"+s.root()+"/"+r.repository(), []string{a.identity()}
	for _, file := range checksumFiles(all, a.Name) {
		circumstances = append(circumstances, file.identity())
	}
	if d, ok := s.Disks.Store.Pinned(key, circumstances...); ok {
		return d, nil
	}
	claims, err := s.claims(ctx, all, a)
	if err != nil {
		return "", err
	}
	var d sources.Digest
	if len(claims) > 0 {
		d = claims[0].digest
	} else if d, err = s.get(ctx, a, "", nil); err != nil {
		return "", err
	}
	return d, s.Disks.Store.Pin(d, key, circumstances...)
}

// identity changes when an asset is uploaded anew.
func (a asset) identity() string {
	return fmt.Sprintf("%d %s %d %s %s", a.ID, a.Updated, a.Size, a.Digest, a.Name)
}

// Stored reports whether d can be had without the network.
func (s Source) Stored(d sources.Digest) bool { return s.Disks.Stored(d) }

// Fetch downloads the asset, if it is not here, and makes it bootable.
func (s Source) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	artifact, err := s.fetch(ctx, img, d, report)
	if err != nil {
		return sources.Artifact{}, fmt.Errorf("fetch %s: %w", img.Address, err)
	}
	return artifact, nil
}

func (s Source) fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	r, err := parseRef(img.Source)
	if err != nil {
		return sources.Artifact{}, err
	}
	if !s.Disks.Stored(d) {
		found, err := s.release(ctx, r)
		if err != nil {
			return sources.Artifact{}, err
		}
		a, err := r.find(found.Assets)
		if err != nil {
			return sources.Artifact{}, err
		}
		if _, err := s.get(ctx, a, d, report); err != nil {
			return sources.Artifact{}, err
		}
	}
	artifact, err := s.Disks.Artifact(ctx, d, report)
	if err != nil {
		return sources.Artifact{}, fmt.Errorf("%s: %w", r, err)
	}
	return artifact, nil
}

// get downloads an asset.
func (s Source) get(ctx context.Context, a asset, want sources.Digest, report sources.Report) (sources.Digest, error) {
	address, header := s.at(a)
	got, err := s.Client.Get(ctx, download.Request{
		URL: address, Header: header, What: "download " + a.Name, Want: want, Size: a.Size,
	}, report)
	var status *download.StatusError
	if errors.As(err, &status) && (status.Status == http.StatusForbidden || status.Status == http.StatusTooManyRequests) {
		if limited := s.limited(status.Header); limited != nil {
			return "", limited
		}
	}
	return got.Digest, err
}

// at is where an asset is downloaded from: with a token, from the API, which
// gives private ones too, and redirects to where they lie; without, from where
// a browser does, which does not count against the rate limit.
func (s Source) at(a asset) (string, http.Header) {
	if s.Token != "" && s.trusted(a.URL) {
		return a.URL, s.header(a.URL, "application/octet-stream")
	}
	return a.Browser, http.Header{"Accept": {"application/octet-stream"}}
}
