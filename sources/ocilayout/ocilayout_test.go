package ocilayout_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/ocilayout"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
)

// write makes a layout with an image for each architecture.
func write(t *testing.T, dir string, arches ...string) {
	t.Helper()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range arches {
		img, err := mutate.AppendLayers(empty.Image, layer(t, arch))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		if err := path.AppendImage(img); err != nil {
			t.Fatal(err)
		}
	}
}

func layer(t *testing.T, content string) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "arch", Typeflag: tar.TypeReg, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALayoutPassesTheContract(t *testing.T) {
	sourcetest.Components(t, sourcetest.ComponentsCase{
		New: func(t *testing.T) sources.Components {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "web"), "amd64", "arm64")
			write(t, filepath.Join(dir, "twice"), "amd64", "amd64")
			return newComponents(t, dir)
		},
		Ref: "oci-layout:web", Arch: "amd64", Files: []string{"arch"},
		Bad: map[string]string{
			"oci-layout:":        "write oci-layout:DIR",
			"oci-layout:nowhere": "open oci-layout:nowhere",
			"oci-layout:twice":   "holds 2 images",
		},
	})
}

func newComponents(t *testing.T, dir string) ocilayout.Components {
	t.Helper()
	images, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return ocilayout.Components{Store: images, Dir: dir}
}

func TestAChangedBlobIsRefused(t *testing.T) {
	for _, blob := range []string{"layer", "configuration"} {
		dir, ctx := t.TempDir(), context.Background()
		write(t, dir, "amd64")
		ref := "oci-layout:" + dir
		d, err := newComponents(t, "").Resolve(ctx, ref, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newComponents(t, "").Image(ctx, ref, "amd64", d, nil); err != nil {
			t.Fatal(err)
		}
		spoil(t, dir, blob)
		components := newComponents(t, "") // what is in a store is not read again
		if _, err := components.Image(ctx, ref, "amd64", d, nil); err == nil || !strings.Contains(err.Error(), "check oci-layout:") {
			t.Errorf("%s: got %v", blob, err)
		}
	}
}

// spoil changes the last byte of a blob.
func spoil(t *testing.T, dir, blob string) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := index.Image(all.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := kept.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	digest := manifest.Config.Digest
	if blob == "layer" {
		digest = manifest.Layers[0].Digest
	}
	path := filepath.Join(dir, "blobs", "sha256", digest.Hex)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if blob == "configuration" {
		content = append(content, '\n') // still JSON
	} else {
		content[len(content)-1] ^= 1
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
