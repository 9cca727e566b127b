package linuxkit_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/lkup/lkup/linuxkit"
)

const service = "kernel: {image: kernel}\ninit: [init, runc]\nservices: [{name: s, image: evil, command: [/x]}]\n"

// buildEvil builds a service from layers.
func buildEvil(t *testing.T, layers ...[]entry) (map[string]node, error) {
	t.Helper()
	shelf := newShelf(t)
	shelf.images["evil"] = image(t, v1.Config{}, layers...)
	artifact, err := tryBuild(newBuilder(t, shelf, map[string]string{"t.yml": service}), templateImage(nil))
	if err != nil {
		return nil, err
	}
	return unpacked(t, artifact), nil
}

const lower = "containers/services/s/lower/"

func TestNamesStayInTheirFolder(t *testing.T) {
	root, err := buildEvil(t, []entry{{name: "../../../../init", content: "evil"}, {name: "/etc/../../x", content: "x"}, {name: "./a//b", content: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"init": "init", lower + "init": "evil", lower + "x": "x", lower + "a/b": "b"} {
		if root[name].Content != want {
			t.Errorf("%s is %q", name, root[name].Content)
		}
	}
}

func TestNothingIsUnpackedBehindALink(t *testing.T) {
	for name, layers := range map[string][][]entry{
		"in one layer":       {{{name: "out", content: "/", kind: tar.TypeSymlink}, {name: "out/init", content: "evil"}}},
		"deep":               {{{name: "a/b", content: "../../../../..", kind: tar.TypeSymlink}, {name: "a/b/c/init", content: "evil"}}},
		"after the file":     {{{name: "out/init", content: "evil"}, {name: "out", content: "/", kind: tar.TypeSymlink}}},
		"below a file":       {{{name: "out", content: "x"}, {name: "out/init", content: "evil"}}},
		"behind a hard link": {{{name: "out", content: "/etc", kind: tar.TypeLink}, {name: "out/init", content: "evil"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := buildEvil(t, layers...)
			if err == nil || !strings.Contains(err.Error(), "which is no folder") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnUpperLayerReplacesALowerOne(t *testing.T) {
	_, err := buildEvil(t,
		[]entry{
			{name: "link", content: "/", kind: tar.TypeSymlink}, {name: "gone", content: "1"}, {name: "dir/old", content: "1"},
			{name: "opaque/old", content: "1"}, {name: "changed", content: "1"},
		},
		[]entry{
			{name: "link/init", content: "2"}, {name: ".wh.gone"}, {name: ".wh.dir"}, {name: "dir/new", content: "2"},
			{name: "opaque/.wh..wh..opq"}, {name: "opaque/new", content: "2"}, {name: "changed", content: "2"},
		})
	if err == nil || !strings.Contains(err.Error(), `"link/init" lies below "link"`) {
		t.Fatalf("got %v", err)
	}
	root, err := buildEvil(t,
		[]entry{
			{name: "link", content: "/", kind: tar.TypeSymlink}, {name: "gone", content: "1"}, {name: "dir/old", content: "1"},
			{name: "opaque/old", content: "1"}, {name: "changed", content: "1"},
		},
		[]entry{
			{name: "link/", kind: tar.TypeDir, mode: 0o755}, {name: "link/init", content: "2"}, {name: ".wh.gone"}, {name: ".wh.dir"},
			{name: "dir/new", content: "2"}, {name: "opaque/.wh..wh..opq"}, {name: "opaque/new", content: "2"}, {name: "changed", content: "2"},
		})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, n := range root {
		if inside, ok := strings.CutPrefix(name, lower); ok && n.Mode&0o170000 == 0o100000 && !strings.HasPrefix(inside, "etc/") {
			got[inside] = n.Content
		}
	}
	want := map[string]string{"link/init": "2", "dir/new": "2", "opaque/new": "2", "changed": "2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAHardLinkStaysInItsFolder(t *testing.T) {
	root, err := buildEvil(t, []entry{{name: "a/b", content: "../../../init", kind: tar.TypeLink}})
	if err != nil {
		t.Fatal(err)
	}
	if got := root[lower+"a/b"].Content; got != "../../../../../containers/services/s/lower/init" {
		t.Errorf("links to %q", got)
	}
}

// bomb is a layer that claims a size and never gets there.
type bomb struct{ v1.Layer }

func (bomb) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

func (bomb) Uncompressed() (io.ReadCloser, error) {
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&tar.Header{Name: "huge", Typeflag: tar.TypeReg, Size: 1 << 40}); err != nil {
		return nil, err
	}
	return io.NopCloser(&out), nil
}

type bombImage struct{ v1.Image }

func (bombImage) Layers() ([]v1.Layer, error) { return []v1.Layer{bomb{}}, nil }

func TestAComponentThatIsTooLargeIsRefused(t *testing.T) {
	shelf := newShelf(t)
	shelf.images["evil"] = bombImage{shelf.images["web"]}
	_, err := tryBuild(newBuilder(t, shelf, map[string]string{"t.yml": service}), templateImage(nil))
	if err == nil || !strings.Contains(err.Error(), "more than 500000 files or 8 GiB") {
		t.Errorf("got %v", err)
	}
}

func TestAKernelThatLiesAboutItselfIsRefused(t *testing.T) {
	whole := bzImage(t, "\x7fELF kernel")
	for name, kernel := range map[string]string{
		"cut short":          whole[:len(whole)-10],
		"no ELF file":        bzImage(t, "not one"),
		"unknown way":        wrap([]byte("neither gzip nor xz")),
		"unpack kernel":      wrap([]byte("\xfd7zXZ\x00 and then nothing of it")),
		"no file \"kernel\"": "",
	} {
		t.Run(name, func(t *testing.T) {
			shelf := newShelf(t)
			files := []entry{{name: "kernel.tar", content: tarOf(t, nil)}}
			if kernel != "" {
				files = append(files, entry{name: "kernel", content: kernel})
			}
			shelf.images["kernel"] = image(t, v1.Config{}, files)
			_, err := tryBuild(newBuilder(t, shelf, map[string]string{"t.yml": simple}), templateImage(nil))
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(full)
	f.Add("a: &a [*a]")
	f.Add("kernel: &k {image: kernel, <<: *k}")
	f.Add("x: &x [1,1,1,1,1,1,1,1,1]\ny: &y [*x,*x,*x,*x,*x,*x,*x,*x]\ninit: [*y,*y]")
	f.Fuzz(func(t *testing.T, text string) {
		b := newBuilder(t, shelf{}, map[string]string{"t.yml": text})
		_, err := b.Resolve(t.Context(), templateImage(nil))
		var mistakes linuxkit.Mistakes
		if errors.As(err, &mistakes) {
			for _, m := range mistakes {
				if m.At.Line < 1 || m.At.Column < 1 || m.Text == "" {
					t.Errorf("a mistake without a place: %+v", m)
				}
			}
		}
	})
}

func TestBuiltinTemplatesAreReadable(t *testing.T) {
	for _, name := range linuxkit.Builtins() {
		text, err := linuxkit.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		shelf := newShelf(t)
		for ref, from := range map[string]string{"builtin:kernel": "kernel", "builtin:init": "init", "apt:busybox-static": "debian", "apt:runc": "runc"} {
			shelf.images[ref] = shelf.images[from]
		}
		artifact := build(t, newBuilder(t, shelf, map[string]string{"t.yml": string(text)}))
		if _, err := os.Stat(artifact.Kernel); err != nil || !artifact.Guest {
			t.Errorf("%s: %+v, %v", name, artifact, err)
		}
	}
}
