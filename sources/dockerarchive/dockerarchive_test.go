package dockerarchive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/dockerarchive"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
)

// file is an entry of an archive.
type file struct {
	name, content, link string
	kind                byte // a regular file if 0
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if f.kind == 0 {
			f.kind = tar.TypeReg
		}
		if err := w.WriteHeader(&tar.Header{Name: f.name, Linkname: f.link, Typeflag: f.kind, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func image(t *testing.T, arch string) v1.Image {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(tarOf(t, file{name: "bin/web", content: arch}))), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
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

// save writes images as docker save does.
func save(t *testing.T, path string, images map[string]v1.Image) {
	t.Helper()
	tags := map[name.Tag]v1.Image{}
	for ref, img := range images {
		tag, err := name.NewTag(ref)
		if err != nil {
			t.Fatal(err)
		}
		tags[tag] = img
	}
	if err := tarball.MultiWriteToFile(path, tags); err != nil {
		t.Fatal(err)
	}
}

func newComponents(t *testing.T, dir string) dockerarchive.Components {
	t.Helper()
	images, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dockerarchive.Components{Store: images, Dir: dir}
}

func TestAnArchivePassesTheContract(t *testing.T) {
	sourcetest.Components(t, sourcetest.ComponentsCase{
		New: func(t *testing.T) sources.Components {
			dir := t.TempDir()
			save(t, filepath.Join(dir, "web.tar"), map[string]v1.Image{"web:1": image(t, "amd64")})
			save(t, filepath.Join(dir, "arm.tar"), map[string]v1.Image{"web:1": image(t, "arm64")})
			save(t, filepath.Join(dir, "two.tar"), map[string]v1.Image{"a:1": image(t, "amd64"), "b:1": image(t, "arm64")})
			write(t, filepath.Join(dir, "packed.tar"), []byte{0x1f, 0x8b, 8, 0})
			write(t, filepath.Join(dir, "other.tar"), tarOf(t, file{name: "readme"}))
			return newComponents(t, dir)
		},
		Ref: "docker-archive:web.tar", Arch: "amd64", Files: []string{"bin/web"},
		Bad: map[string]string{
			"docker-archive:":           "write docker-archive:FILE",
			"docker-archive:nowhere":    "open docker-archive:nowhere",
			"docker-archive:.":          "no regular file",
			"docker-archive:arm.tar":    "an image for linux/arm64, and the guest is linux/amd64",
			"docker-archive:two.tar":    "it holds 2 images (",
			"docker-archive:packed.tar": "unpack it first, with gunzip",
			"docker-archive:other.tar":  "nothing that docker save wrote",
		},
	})
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// parts are the files of a good archive, to be spoilt.
func parts(t testing.TB) (manifest, config string, layer []byte) {
	t.Helper()
	layer = tarOf(t, file{name: "bin/web", content: "web"})
	content, err := json.Marshal(v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{
		{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(layer))},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return `[{"Config":"config.json","Layers":["a/layer.tar"]}]`, string(content), layer
}

func TestAnArchiveMayBeWrittenInSeveralWays(t *testing.T) {
	manifest, config, layer := parts(t)
	for way, files := range map[string][]file{
		"plain":           {{name: "a/layer.tar", content: string(layer)}},
		"a symbolic link": {{name: "b/layer.tar", content: string(layer)}, {name: "a/layer.tar", link: "../b/layer.tar", kind: tar.TypeSymlink}},
		"a hard link":     {{name: "b/layer.tar", content: string(layer)}, {name: "a/layer.tar", link: "b/layer.tar", kind: tar.TypeLink}},
		"names with dots": {{name: "./a/layer.tar", content: string(layer)}},
		"folders":         {{name: "a/", kind: tar.TypeDir}, {name: "a/layer.tar", content: string(layer)}},
	} {
		t.Run(way, func(t *testing.T) {
			dir, ctx := t.TempDir(), context.Background()
			write(t, filepath.Join(dir, "x.tar"), tarOf(t, append(files, file{name: "config.json", content: config}, file{name: "manifest.json", content: manifest})...))
			components := newComponents(t, dir)
			d, err := components.Resolve(ctx, "docker-archive:x.tar", "amd64")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := components.Image(ctx, "docker-archive:x.tar", "amd64", d, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAHostileArchiveIsRefusedAndLeavesNothing(t *testing.T) {
	manifest, config, layer := parts(t)
	good := []file{{name: "manifest.json", content: manifest}, {name: "config.json", content: config}}
	for name, hostile := range map[string]struct {
		files []file
		want  string
	}{
		"another layer":             {append(good, file{name: "a/layer.tar", content: string(tarOf(t, file{name: "evil"}))}), "unpacks to sha256:"},
		"no layer":                  {good, `it has no file "a/layer.tar"`},
		"a link out of it":          {append(good, file{name: "a/layer.tar", link: "../../../etc/passwd", kind: tar.TypeSymlink}), `it has no file "a/layer.tar"`},
		"an absolute link":          {append(good, file{name: "a/layer.tar", link: "/etc/passwd", kind: tar.TypeLink}), `it has no file "a/layer.tar"`},
		"a link to itself":          {append(good, file{name: "a/layer.tar", link: "layer.tar", kind: tar.TypeSymlink}), `it has no file "a/layer.tar"`},
		"a file twice":              {append(good, file{name: "./config.json", content: config}), `it holds "config.json" twice`},
		"a device":                  {append(good, file{name: "a/layer.tar", kind: tar.TypeChar}), "neither a file nor a link"},
		"a large manifest":          {[]file{{name: "manifest.json", content: strings.Repeat(" ", 5<<20)}}, "more than 4 MiB"},
		"a manifest that is none":   {[]file{{name: "manifest.json", content: "{"}}, "not JSON"},
		"a configuration elsewhere": {[]file{{name: "manifest.json", content: `[{"Config":"../../etc/passwd","Layers":[]}]`}}, `it has no file "../../etc/passwd"`},
		"fewer layers": {[]file{{name: "manifest.json", content: `[{"Config":"config.json","Layers":[]}]`}, {name: "config.json", content: config}},
			"has 0 layers and its configuration 1"},
		"cut short": {append(good, file{name: "a/layer.tar", content: string(layer)}), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ctx := t.TempDir(), context.Background()
			content := tarOf(t, hostile.files...)
			if name == "cut short" {
				content = content[:len(content)-1600]
			}
			write(t, filepath.Join(dir, "x.tar"), content)
			components := newComponents(t, dir)
			d, err := components.Resolve(ctx, "docker-archive:x.tar", "amd64")
			if err == nil {
				_, err = components.Image(ctx, "docker-archive:x.tar", "amd64", d, nil)
			}
			if err == nil || !strings.Contains(err.Error(), hostile.want) {
				t.Errorf("want an error with %q, got %v", hostile.want, err)
			}
			for _, folder := range []string{"built", "tmp"} {
				if left, err := os.ReadDir(components.Store.Dir(folder)); err != nil || len(left) > 0 {
					t.Errorf("left in %s: %v, %v", folder, left, err)
				}
			}
		})
	}
}
