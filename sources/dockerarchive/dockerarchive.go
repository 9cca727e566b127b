// Package dockerarchive gives components from what docker save wrote:
// "docker-archive:FILE", a tar with manifest.json, a configuration and layers.
//
// It promises to take nothing that the configuration's digests do not cover,
// and to write nothing but into the store.
package dockerarchive

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Components gives the images of archives. It implements
// [sources.Components].
type Components struct {
	Store *store.Store
	Dir   string // the project's directory; relative refs are below it
}

// Bounds of what is held in memory.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
)

// manifest is an element of manifest.json, which names files of the archive.
type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string // lowest first
}

// Resolve identifies the image by its configuration, which has the digests of
// its layers: what Docker calls the image's ID.
func (c Components) Resolve(_ context.Context, ref, arch string) (sources.Digest, error) {
	opened, err := c.open(ref, arch)
	if err != nil {
		return "", err
	}
	return opened.digest, opened.archive.Close()
}

// Image unpacks the layers into the store that are not there.
func (c Components) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	opened, err := c.open(ref, arch)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.archive.Close() }()
	if opened.digest != d {
		return nil, fmt.Errorf("%s changed while lkup was at work; run the command again", ref)
	}
	for i, name := range opened.layers {
		if report != nil {
			report(sources.Progress{What: fmt.Sprintf("unpack %s, layer %d of %d", ref, i+1, len(opened.layers))})
		}
		content, err := opened.archive.file(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", ref, err)
		}
		layer := store.PackedLayer{Size: content.Size(), DiffID: opened.diffIDs[i]}
		err = c.Store.UnpackLayer(ctx, layer, store.MaxLayer, func() (io.ReadCloser, error) { return io.NopCloser(content), nil })
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", ref, err)
		}
	}
	if _, err := c.Store.Put(ctx, opened.config); err != nil {
		return nil, err
	}
	return c.Store.UnpackedImage(opened.config)
}

// opened is an archive with one image for the guest.
type opened struct {
	archive *archive
	digest  sources.Digest
	config  []byte
	layers  []string
	diffIDs []v1.Hash
}

func (c Components) open(ref, arch string) (opened, error) {
	file, ok := strings.CutPrefix(ref, "docker-archive:")
	if !ok || file == "" {
		return opened{}, fmt.Errorf("%q is no archive ref; write docker-archive:FILE", ref)
	}
	file = filepath.FromSlash(file)
	if !filepath.IsAbs(file) {
		file = filepath.Join(c.Dir, file)
	}
	archive, err := openArchive(file)
	if err != nil {
		return opened{}, fmt.Errorf("open %s: %w", ref, err)
	}
	o := opened{archive: archive}
	if err := o.read(arch); err != nil {
		_ = archive.Close()
		return opened{}, fmt.Errorf("read %s: %w", ref, err)
	}
	return o, nil
}

func (o *opened) read(arch string) error {
	content, err := o.archive.content("manifest.json", maxManifest)
	if err != nil {
		return fmt.Errorf("it is nothing that docker save wrote: %w", err)
	}
	var images []manifest
	if err := json.Unmarshal(content, &images); err != nil {
		return fmt.Errorf("its manifest.json is not JSON: %w", err)
	}
	if len(images) != 1 {
		return fmt.Errorf("it holds %d images%s; save one: docker save NAME -o FILE", len(images), tagsOf(images))
	}
	if o.config, err = o.archive.content(images[0].Config, maxConfig); err != nil {
		return err
	}
	var config v1.ConfigFile
	if err := json.Unmarshal(o.config, &config); err != nil {
		return fmt.Errorf("its configuration is not JSON: %w", err)
	}
	if config.OS != "linux" || config.Architecture != arch {
		return fmt.Errorf("it is an image for %s/%s, and the guest is linux/%s", config.OS, config.Architecture, arch)
	}
	o.layers, o.diffIDs = images[0].Layers, config.RootFS.DiffIDs
	if len(o.layers) != len(o.diffIDs) {
		return fmt.Errorf("its manifest has %d layers and its configuration %d", len(o.layers), len(o.diffIDs))
	}
	o.digest = sources.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(o.config)))
	return nil
}

// tagsOf lists what images are called.
func tagsOf(images []manifest) string {
	var tags []string
	for _, image := range images {
		tags = append(tags, image.RepoTags...)
	}
	if len(tags) == 0 {
		return ""
	}
	return " (" + strings.Join(tags, ", ") + ")"
}
