package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/lkup/lkup/sources/oci"
	"github.com/lkup/lkup/sources/store"
)

// server is a registry on loopback with something in front of it.
type server struct {
	*httptest.Server
	mu    sync.Mutex                                             // guards front where another process asks
	front func(http.ResponseWriter, *http.Request, http.Handler) // nil: nothing
}

func (s *server) host() string {
	return strings.TrimPrefix(strings.TrimPrefix(s.URL, "http://"), "https://")
}

func (s *server) url(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newServer(t *testing.T, start func(http.Handler) *httptest.Server) *server {
	t.Helper()
	behind := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := &server{}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		front := s.front
		s.mu.Unlock()
		if front != nil {
			front(w, r, behind)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return s
}

// push puts an image at repo:tag.
func (s *server) push(t *testing.T, ref string, image v1.Image) {
	t.Helper()
	to, err := name.ParseReference(s.host() + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, image, remote.WithTransport(s.Client().Transport)); err != nil {
		t.Fatal(err)
	}
}

func (s *server) pushIndex(t *testing.T, ref string, index v1.ImageIndex) {
	t.Helper()
	to, err := name.ParseReference(s.host() + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(to, index, remote.WithTransport(s.Client().Transport)); err != nil {
		t.Fatal(err)
	}
}

// image has a layer for each content, with a file that is named by its first
// word.
func image(t *testing.T, arch string, contents ...string) v1.Image {
	t.Helper()
	img := empty.Image
	for _, content := range contents {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(tarOf(content))), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func tarOf(content string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	word, _, _ := strings.Cut(content, " ")
	if err := w.WriteHeader(&tar.Header{Name: word, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
		panic(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func index(t *testing.T, images map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	var all v1.ImageIndex = empty.Index
	for _, arch := range []string{"s390x", "amd64", "arm64"} {
		if img, ok := images[arch]; ok {
			all = mutate.AppendManifests(all, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "linux", Architecture: arch},
			}})
		}
	}
	return all
}

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newComponents(t *testing.T, settings oci.Settings) *oci.Components {
	t.Helper()
	if settings.Store == nil {
		settings.Store = newStore(t)
	}
	if settings.Patience == 0 {
		settings.Patience = 10 * time.Second
	}
	return oci.New(settings)
}

// pull resolves and fetches.
func pull(components *oci.Components, ref string) (v1.Image, error) {
	ctx := context.Background()
	d, err := components.Resolve(ctx, ref, "amd64")
	if err != nil {
		return nil, err
	}
	return components.Image(ctx, ref, "amd64", d, nil)
}
