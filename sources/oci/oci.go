// Package oci gives components from container registries: "oci:nginx:1.27",
// and LinuxKit's plain refs, "linuxkit/init:v1.0".
//
// It promises: every byte taken is checked against a digest and a size; what
// a registry says beyond that is never trusted; a registry that is silent is
// an error; credentials go to the host that they are for and to no other, and
// never over plain http unless the user said so. It runs no code of an image.
package oci

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/semaphore"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Settings say how registries are reached and where results go.
type Settings struct {
	Store *store.Store
	// Mirror is asked in place of every registry, without the registry's
	// host in the path; nil for none.
	Mirror *url.URL
	// Registries are the user's settings, by host as in refs: "docker.io".
	Registries map[string]Registry
	// Keychain has the credentials; nil for none.
	Keychain authn.Keychain
	// Proxy is as in [http.Transport].
	Proxy func(*http.Request) (*url.URL, error)
	// Patience is how long a registry may be silent; 0 for 30 seconds.
	Patience time.Duration
	// MaxLayer bounds what a layer unpacks to, in bytes; 0 for the store's
	// own bound.
	MaxLayer int64
}

// Registry is what the user says about one registry.
type Registry struct {
	Mirror   *url.URL       // asked in its place, without its host in the path; nil for none
	Insecure bool           // plain http will do
	CAs      *x509.CertPool // who may vouch for it; nil for the system's
}

// Components gives images of registries. It implements [sources.Components].
type Components struct {
	settings  Settings
	downloads *semaphore.Weighted

	mu      sync.Mutex
	pullers map[string]*remote.Puller // by host
}

// parallel is how many layers are downloaded at once, of all images.
const parallel = 4

// New opens no connection.
func New(settings Settings) *Components {
	if settings.Patience == 0 {
		settings.Patience = 30 * time.Second
	}
	if settings.MaxLayer == 0 {
		settings.MaxLayer = store.MaxLayer
	}
	return &Components{
		settings: settings, downloads: semaphore.NewWeighted(parallel), pullers: map[string]*remote.Puller{},
	}
}

// Resolve asks what a tag is now, and picks the image for arch of an index.
// What a digest names is read from the store, if it is there.
func (c *Components) Resolve(ctx context.Context, ref, arch string) (sources.Digest, error) {
	at, err := c.place(ref)
	if err != nil {
		return "", err
	}
	d, err := c.resolve(ctx, at, arch)
	if err != nil {
		return "", at.explain(ctx, err)
	}
	return d, nil
}

func (c *Components) resolve(ctx context.Context, at place, arch string) (sources.Digest, error) {
	d, err := c.root(ctx, at)
	if err != nil {
		return "", err
	}
	content, err := c.manifest(ctx, at, d)
	if err != nil {
		return "", err
	}
	kind, err := kindOf(content)
	if err != nil {
		return "", err
	}
	if kind == anIndex {
		found, err := c.search(ctx, at, arch, content, nested)
		if err != nil {
			return "", err
		}
		return found.digest(arch)
	}
	_, _, err = c.image(ctx, at, arch, d)
	return d, err
}

// Image downloads the layers that are not in the store, several at once.
func (c *Components) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	at, err := c.place(ref)
	if err != nil {
		return nil, err
	}
	config, layers, err := c.image(ctx, at, arch, d)
	if err != nil {
		return nil, at.explain(ctx, err)
	}
	if err := c.download(ctx, at, layers, report); err != nil {
		return nil, at.explain(ctx, err)
	}
	return c.settings.Store.UnpackedImage(config)
}

// Stored reports whether the image with digest d is here, so that Image of it
// needs no registry.
func (c *Components) Stored(d sources.Digest) bool {
	manifest, err := c.storedManifest(d)
	if err != nil {
		return false
	}
	content, err := c.settings.Store.Get(sources.Digest(manifest.Config.Digest.String()))
	if err != nil {
		return false
	}
	var config v1.ConfigFile
	if json.Unmarshal(content, &config) != nil {
		return false
	}
	layers, err := store.PackedLayers(manifest, &config)
	if err != nil {
		return false
	}
	for _, l := range layers {
		if !c.settings.Store.LayerUnpacked(l) {
			return false
		}
	}
	return true
}

func (c *Components) storedManifest(d sources.Digest) (*v1.Manifest, error) {
	content, err := c.settings.Store.Get(d)
	if err != nil {
		return nil, err
	}
	return parseManifest(content)
}

// image reads the manifest d and its configuration.
func (c *Components) image(ctx context.Context, at place, arch string, d sources.Digest) (config []byte, layers []store.PackedLayer, err error) {
	content, err := c.manifest(ctx, at, d)
	if err != nil {
		return nil, nil, err
	}
	manifest, err := parseManifest(content)
	if err != nil {
		return nil, nil, err
	}
	if config, err = c.config(ctx, at, manifest.Config); err != nil {
		return nil, nil, err
	}
	var file v1.ConfigFile
	if err := json.Unmarshal(config, &file); err != nil {
		return nil, nil, fmt.Errorf("its configuration is not JSON: %w", err)
	}
	if file.OS != "linux" || file.Architecture != arch {
		return nil, nil, fmt.Errorf("it is an image for %s/%s, and the guest is linux/%s", file.OS, file.Architecture, arch)
	}
	layers, err = store.PackedLayers(manifest, &file)
	return config, layers, err
}
