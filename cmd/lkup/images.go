package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/embedded"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/apt"
	"github.com/lkup/lkup/sources/builtin"
	"github.com/lkup/lkup/sources/dockerarchive"
	"github.com/lkup/lkup/sources/file"
	"github.com/lkup/lkup/sources/ocilayout"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// imageSources gives every image to the source of its scheme.
type imageSources struct {
	store     *store.Store
	templates *linuxkit.Builder
	schemes   map[string]sources.Source
}

// newImageSources wires the sources. Templates and files are read from the
// project's directory.
func newImageSources(host Host, dir string) (*imageSources, error) {
	cache := host.Layout().Cache
	images, err := store.Open(filepath.Join(cache, "store"))
	if err != nil {
		return nil, err
	}
	user, err := readSettings(host)
	if err != nil {
		return nil, err
	}
	pulled, err := registries(host, images, user)
	if err != nil {
		return nil, err
	}
	packages := apt.New(apt.Settings{Store: images, Now: host.Now})
	kernel := packages.Kernel(guest.Modules())
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	components := map[string]sources.Components{
		"apt":            packages,
		"builtin":        builtin.Components{Store: images, Init: embedded.Init, Kernel: kernel},
		"oci":            pulled,
		"oci-layout":     ocilayout.Components{Store: images, Dir: dir},
		"docker-archive": dockerarchive.Components{Store: images, Dir: dir},
	}
	for scheme, c := range components {
		components[scheme] = images.Noted(c)
	}
	return &imageSources{
		store: images,
		templates: &linuxkit.Builder{
			Project:    root.FS(),
			Store:      images,
			Arch:       host.Arch,
			Components: components,
		},
		schemes: map[string]sources.Source{
			"file": file.Source{Store: images, Dir: dir, Arch: host.Arch},
		},
	}, nil
}

// Resolve pins an image to a digest.
func (s *imageSources) Resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	source, err := s.source(img)
	if err != nil {
		return "", err
	}
	return source.Resolve(ctx, img)
}

// Fetch brings the image's files here.
func (s *imageSources) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	source, err := s.source(img)
	if err != nil {
		return sources.Artifact{}, err
	}
	artifact, err := source.Fetch(ctx, img, d, report)
	if err != nil || img.Template != nil { // a template's image is noted by its builder
		return artifact, err
	}
	kind := store.Image
	if artifact.Disk != "" {
		kind = store.Disk
	}
	return artifact, s.store.Note(d, store.Note{Kind: kind, Names: []string{img.Source}, Arch: artifact.Arch})
}

// Describe resolves an image and says what it is made from. One that is
// fetched as it is has neither key nor inputs.
func (s *imageSources) Describe(ctx context.Context, img spec.Image) (linuxkit.Description, error) {
	if img.Template != nil {
		return s.templates.Describe(ctx, img)
	}
	d, err := s.Resolve(ctx, img)
	return linuxkit.Description{Digest: d}, err
}

func (s *imageSources) source(img spec.Image) (sources.Source, error) {
	if img.Template != nil {
		return s.templates, nil
	}
	scheme, _, _ := strings.Cut(img.Source, ":")
	source, found := s.schemes[scheme]
	if !found {
		return nil, fmt.Errorf("%s: no source for %q; give a path as \"file:PATH\"", img.Origin, img.Source)
	}
	return source, nil
}
