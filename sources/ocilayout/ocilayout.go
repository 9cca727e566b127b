// Package ocilayout gives components from OCI image layouts on disk:
// "oci-layout:dir", a directory with oci-layout, index.json and blobs.
package ocilayout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Components gives the images of layouts. It implements
// [sources.Components].
type Components struct {
	Store *store.Store
	Dir   string // the project's directory; relative refs are below it
}

// Resolve finds the image for arch. A layout that holds more than one for it
// is refused.
func (c Components) Resolve(_ context.Context, ref, arch string) (sources.Digest, error) {
	image, err := c.find(ref, arch)
	if err != nil {
		return "", err
	}
	d, err := image.Digest()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	return sources.Digest(d.String()), nil
}

// Image unpacks the layers into the store that are not there. Every blob is
// checked against its digest and size: files in a directory can be anything.
func (c Components) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	image, err := c.find(ref, arch)
	if err != nil {
		return nil, err
	}
	now, err := image.Digest()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref, err)
	}
	if now.String() != string(d) {
		return nil, fmt.Errorf("%s changed while lkup was at work; run the command again", ref)
	}
	unpacked, err := c.unpack(ctx, ref, image, report)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", ref, err)
	}
	return unpacked, nil
}

func (c Components) unpack(ctx context.Context, ref string, image v1.Image, report sources.Report) (v1.Image, error) {
	content, err := image.RawManifest()
	if err != nil {
		return nil, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return nil, err
	}
	var file v1.ConfigFile
	if err := json.Unmarshal(config, &file); err != nil {
		return nil, err
	}
	layers, err := store.PackedLayers(manifest, &file)
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		if report != nil {
			report(sources.Progress{What: fmt.Sprintf("unpack %s, layer %d of %d", ref, i+1, len(layers))})
		}
		err := c.Store.UnpackLayer(ctx, l, store.MaxLayer, func() (io.ReadCloser, error) {
			layer, err := image.LayerByDigest(l.Digest)
			if err != nil {
				return nil, err
			}
			return layer.Compressed()
		})
		if err != nil {
			return nil, err
		}
	}
	if err := c.keep(ctx, content, config, manifest.Config.Digest); err != nil {
		return nil, err
	}
	return c.Store.UnpackedImage(config)
}

// keep stores the manifest and the configuration, so that the store knows
// what the layers belong to.
func (c Components) keep(ctx context.Context, manifest, config []byte, want v1.Hash) error {
	got, err := c.Store.Put(ctx, config)
	if err != nil {
		return err
	}
	if string(got) != want.String() {
		return fmt.Errorf("its configuration has digest %s, its manifest says %s", got, want)
	}
	_, err = c.Store.Put(ctx, manifest)
	return err
}

func (c Components) find(ref, arch string) (v1.Image, error) {
	dir, ok := strings.CutPrefix(ref, "oci-layout:")
	if !ok || dir == "" {
		return nil, fmt.Errorf("%q is no layout ref; write oci-layout:DIR", ref)
	}
	dir = filepath.FromSlash(dir)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.Dir, dir)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	images, err := imagesFor(index, arch, 3)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%s holds %d images for linux/%s; it must hold one", ref, len(images), arch)
	}
	return images[0], nil
}

// imagesFor are the images of an index, and of those in it, that run on arch.
// One that names no platform counts by its own configuration.
func imagesFor(index v1.ImageIndex, arch string, depth int) ([]v1.Image, error) {
	if depth == 0 {
		return nil, fmt.Errorf("its indexes are nested too deep")
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Image
	for _, entry := range manifest.Manifests {
		switch {
		case entry.MediaType.IsIndex():
			inner, err := index.ImageIndex(entry.Digest)
			if err != nil {
				return nil, err
			}
			images, err := imagesFor(inner, arch, depth-1)
			if err != nil {
				return nil, err
			}
			found = append(found, images...)
		case entry.MediaType.IsImage():
			image, err := index.Image(entry.Digest)
			if err != nil {
				return nil, err
			}
			ok, err := runsOn(entry, image, arch)
			if err != nil {
				return nil, err
			}
			if ok {
				found = append(found, image)
			}
		}
	}
	return found, nil
}

func runsOn(entry v1.Descriptor, image v1.Image, arch string) (bool, error) {
	if entry.Platform != nil {
		return match.Platforms(v1.Platform{OS: "linux", Architecture: arch})(entry), nil
	}
	config, err := image.ConfigFile()
	if err != nil {
		return false, err
	}
	return config.OS == "linux" && config.Architecture == arch, nil
}
