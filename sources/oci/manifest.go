package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/lkup/lkup/sources"
)

// Bounds of what is held in memory. Registries themselves take no larger
// manifests; configurations list a history.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
)

// root is the digest of what a ref names: an image or an index. A registry
// counts HEAD as no download.
func (c *Components) root(ctx context.Context, at place) (sources.Digest, error) {
	if at.digest != "" {
		return at.digest, nil
	}
	puller, err := c.puller(at)
	if err != nil {
		return "", err
	}
	var unreached *url.Error
	head, err := puller.Head(ctx, at.repo.Tag(at.tag))
	if err == nil && sources.Digest(head.Digest.String()).Valid() {
		return sources.Digest(head.Digest.String()), nil
	}
	if errors.As(err, &unreached) {
		return "", err
	}
	// It may know no HEAD; and the answer to GET says what is wrong.
	answer, err := puller.Get(ctx, at.repo.Tag(at.tag))
	if err != nil {
		return "", err
	}
	if len(answer.Manifest) > maxManifest {
		return "", errLarge
	}
	return c.settings.Store.Put(ctx, answer.Manifest)
}

var errLarge = fmt.Errorf("its manifest has more than %d MiB", maxManifest>>20)

// manifest is the manifest with digest d, from the store or the registry.
func (c *Components) manifest(ctx context.Context, at place, d sources.Digest) ([]byte, error) {
	_, err := c.settings.Store.Fetch(ctx, d, func(path string) error {
		puller, err := c.puller(at)
		if err != nil {
			return err
		}
		answer, err := puller.Get(ctx, at.repo.Digest(string(d)))
		if err != nil {
			return err
		}
		if len(answer.Manifest) > maxManifest {
			return errLarge
		}
		return os.WriteFile(path, answer.Manifest, 0o600)
	})
	if err != nil {
		return nil, err
	}
	return c.settings.Store.Get(d)
}

// config is an image's configuration, from the store or the registry.
func (c *Components) config(ctx context.Context, at place, want v1.Descriptor) ([]byte, error) {
	d := sources.Digest(want.Digest.String())
	if !d.Valid() || want.Size < 0 || want.Size > maxConfig {
		return nil, fmt.Errorf("its configuration %s is said to have %d bytes; at most %d MiB are taken", d, want.Size, maxConfig>>20)
	}
	_, err := c.settings.Store.Fetch(ctx, d, func(path string) error {
		blob, err := c.blob(ctx, at, want.Digest)
		if err != nil {
			return err
		}
		defer func() { _ = blob.Close() }()
		content, err := io.ReadAll(io.LimitReader(blob, want.Size+1))
		if err != nil {
			return err
		}
		if int64(len(content)) != want.Size {
			return fmt.Errorf("its configuration %s has not the %d bytes that its manifest says", d, want.Size)
		}
		return os.WriteFile(path, content, 0o600)
	})
	if err != nil {
		return nil, err
	}
	return c.settings.Store.Get(d)
}

// blob begins to read a blob. Its end is an error if it has another digest.
func (c *Components) blob(ctx context.Context, at place, digest v1.Hash) (io.ReadCloser, error) {
	puller, err := c.puller(at)
	if err != nil {
		return nil, err
	}
	layer, err := puller.Layer(ctx, at.repo.Digest(digest.String()))
	if err != nil {
		return nil, err
	}
	return layer.Compressed()
}

// kind is what a manifest describes.
type kind int

const (
	anImage kind = iota
	anIndex
)

// kindOf reads a manifest itself: the media type that a server sends beside
// it is not covered by the digest.
func kindOf(content []byte) (kind, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(content))
	if err != nil {
		return 0, fmt.Errorf("its manifest is not JSON: %w", err)
	}
	switch {
	case index.SchemaVersion == 1:
		return 0, errors.New("it is in Docker's first format, which is too old; push it again with a current tool")
	case index.MediaType.IsIndex() || index.MediaType == "" && index.Manifests != nil:
		return anIndex, nil
	}
	return anImage, nil
}

func parseManifest(content []byte) (*v1.Manifest, error) {
	kind, err := kindOf(content)
	if err != nil {
		return nil, err
	}
	if kind == anIndex {
		return nil, errors.New("it is an index, not an image")
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("its manifest is not JSON: %w", err)
	}
	if manifest.MediaType != "" && !manifest.MediaType.IsImage() || !isImageConfig(manifest.Config.MediaType) {
		return nil, fmt.Errorf("it is no container image but %s", manifest.Config.MediaType)
	}
	return manifest, nil
}

func isImageConfig(t types.MediaType) bool {
	return t == types.OCIConfigJSON || t == types.DockerConfigJSON || t == ""
}

// nested is how deep an index may stand in others, and how many may stand in
// one: more than tools make, and few enough to ask a registry for.
const nested = 3

// choice is what an index offers one architecture.
type choice struct {
	image sources.Digest   // "" if the index itself names none
	inner []sources.Digest // the indexes in it
	has   []string         // the platforms of its other images
}

// pick looks for the image for arch in an index.
func pick(content []byte, arch string) (choice, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(content))
	if err != nil {
		return choice{}, fmt.Errorf("its index is not JSON: %w", err)
	}
	var c choice
	for _, entry := range index.Manifests {
		d := sources.Digest(entry.Digest.String())
		switch {
		case entry.MediaType.IsIndex():
			if d.Valid() {
				c.inner = append(c.inner, d)
			}
		case entry.Platform == nil || entry.Platform.OS == "unknown":
			// signatures and attestations
		case entry.MediaType.IsImage() && d.Valid() && match.Platforms(v1.Platform{OS: "linux", Architecture: arch})(entry):
			return choice{image: d}, nil
		default:
			c.has = append(c.has, entry.Platform.String())
		}
	}
	if len(c.inner) > nested {
		return choice{}, fmt.Errorf("its index holds %d indexes; at most %d are looked into", len(c.inner), nested)
	}
	return c, nil
}

// search picks the image for arch in an index, and else in the indexes in it.
func (c *Components) search(ctx context.Context, at place, arch string, content []byte, depth int) (choice, error) {
	found, err := pick(content, arch)
	if err != nil || found.image != "" {
		return found, err
	}
	if len(found.inner) > 0 && depth == 0 {
		return choice{}, errors.New("its indexes are nested too deep")
	}
	for _, d := range found.inner {
		content, err := c.manifest(ctx, at, d)
		if err != nil {
			return choice{}, err
		}
		inner, err := c.search(ctx, at, arch, content, depth-1)
		if err != nil || inner.image != "" {
			return inner, err
		}
		found.has = append(found.has, inner.has...)
	}
	return found, nil
}

func (c choice) digest(arch string) (sources.Digest, error) {
	switch {
	case c.image != "":
		return c.image, nil
	case len(c.has) == 0:
		return "", errors.New("its index names no image")
	}
	slices.Sort(c.has)
	return "", fmt.Errorf("it has no image for linux/%s; it has %s", arch, strings.Join(slices.Compact(c.has), ", "))
}
