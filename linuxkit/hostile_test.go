package linuxkit_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/sources/store"
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

// endless is a layer of files without content that never ends.
type endless struct{ v1.Layer }

func (endless) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

func (endless) Uncompressed() (io.ReadCloser, error) {
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	return io.NopCloser(&again{text: out.Bytes()}), nil
}

// again reads a text again and again.
type again struct {
	text []byte
	at   int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.text[a.at:])
	a.at = (a.at + n) % len(a.text)
	return n, nil
}

type endlessImage struct{ v1.Image }

func (endlessImage) Layers() ([]v1.Layer, error) { return []v1.Layer{endless{}}, nil }

func TestAComponentWithTooManyFilesIsRefused(t *testing.T) {
	shelf := newShelf(t)
	shelf.images["evil"] = endlessImage{shelf.images["web"]}
	_, err := tryBuild(newBuilder(t, shelf, map[string]string{"t.yml": service}), templateImage(nil))
	if err == nil || !strings.Contains(err.Error(), "more than 500000 files or 8 GiB") {
		t.Errorf("got %v", err)
	}
}

// TestWhatLinksAndDevicesMeanInTheGuestStaysThere: they are entries of the
// initrd, and nothing of them is made or followed on the host.
func TestWhatLinksAndDevicesMeanInTheGuestStaysThere(t *testing.T) {
	root, err := buildEvil(t, []entry{
		{name: "up", content: "../../../../../../etc/shadow", kind: tar.TypeSymlink}, {name: "absolute", content: "/etc/shadow", kind: tar.TypeSymlink},
		{name: "loop", content: "loop", kind: tar.TypeSymlink}, {name: "disk", kind: tar.TypeBlock, mode: 0o660}, {name: "tty", kind: tar.TypeChar}, {name: "pipe", kind: tar.TypeFifo},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]node{
		"up": {Mode: 0o120777, Content: "../../../../../../etc/shadow"}, "absolute": {Mode: 0o120777, Content: "/etc/shadow"},
		"loop": {Mode: 0o120777, Content: "loop"}, "disk": {Mode: 0o060660}, "tty": {Mode: 0o020000}, "pipe": {Mode: 0o010000},
	} {
		if diff := cmp.Diff(want, root[lower+name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// As in LinuxKit, the first of two entries of a layer counts.
func TestTheFirstOfTwoEntriesOfALayerCounts(t *testing.T) {
	root, err := buildEvil(t, []entry{
		{name: "a", content: "first"}, {name: "a", content: "second"}, {name: "./a", kind: tar.TypeSymlink, content: "/"}, {name: "../a", content: "third"},
		{name: "d/", kind: tar.TypeDir, mode: 0o700}, {name: "d", content: "/", kind: tar.TypeSymlink}, {name: "d/x", content: "in d"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if root[lower+"a"].Content != "first" || root[lower+"d"].Mode != 0o040700 || root[lower+"d/x"].Content != "in d" {
		t.Errorf("a %+v, d %+v, d/x %+v", root[lower+"a"], root[lower+"d"], root[lower+"d/x"])
	}
}

func TestEntriesThatAnInitrdCannotHoldAreRefused(t *testing.T) {
	long := strings.Repeat("long/", 900)
	for want, e := range map[string]entry{
		"the name ends an initrd":              {name: "TRAILER!!!"},
		"is longer than 4095 bytes":            {name: long + "x"},
		"or its target is longer than":         {name: "x", content: long, kind: tar.TypeSymlink},
		"number of 4294967296 does not fit":    {name: "x", uid: 1 << 32},
		"cannot put an entry of type '7' into": {name: "x", kind: tar.TypeCont},
	} {
		t.Run(want, func(t *testing.T) {
			shelf := newShelf(t)
			shelf.images["init"] = image(t, v1.Config{}, []entry{e})
			artifact, err := tryBuild(newBuilder(t, shelf, map[string]string{"t.yml": simple}), templateImage(nil))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			if len(artifact.Initrds) > 0 {
				t.Error("something is left")
			}
		})
	}
}

func TestAKernelsTreeStaysInTheRoot(t *testing.T) {
	build := func(entries ...entry) (map[string]node, error) {
		shelf := newShelf(t)
		shelf.images["kernel"] = image(t, v1.Config{}, []entry{
			{name: "kernel", content: bzImage(t, "\x7fELF kernel")}, {name: "kernel.tar", content: tarOf(t, entries)},
		})
		artifact, err := tryBuild(newBuilder(t, shelf, map[string]string{"t.yml": simple}), templateImage(nil))
		if err != nil {
			return nil, err
		}
		return unpacked(t, artifact), nil
	}
	root, err := build(entry{name: "../../lib/modules/x", content: "x"}, entry{name: "/lib/y", content: "y"}, entry{name: "/", kind: tar.TypeDir})
	if err != nil || root["lib/modules/x"].Content != "x" || root["lib/y"].Content != "y" {
		t.Errorf("got %v, %v", root, err)
	}
	_, err = build(entry{name: "lib", content: "/etc", kind: tar.TypeSymlink}, entry{name: "lib/x", content: "x"})
	if err == nil || !strings.Contains(err.Error(), `"lib/x" lies below "lib", which is no folder`) {
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

// FuzzLabel merges what a component's label says with a template's settings.
func FuzzLabel(f *testing.F) {
	for _, label := range []string{
		`{"binds": ["/a:/b"], "capabilities": ["CAP_KILL"], "runtime": {"bindNS": {"net": "/n"}}}`,
		`{"uid": "nobody"}`, `{"name": "x"}`, "[]", "", "&a [*a]", `{"command": null}`, "command: [/x]\nresources: {memory: {limit: -1}}",
		`{"mounts": [{"type": "bind", "source": "v"}], "tmpfs": ["/:a:b"]}`, `{"devices": [{"path": "all"}], "rlimits": [","]}`,
	} {
		f.Add(label)
	}
	const text = "kernel: {image: kernel}\ninit: [init]\nservices: [{name: s, image: evil, binds.add: [\"/c:/d\"], capabilities.add: [CAP_CHOWN], runtime: {mkdir: [/m]}}]\n"
	base := newShelf(f)
	f.Fuzz(func(t *testing.T, label string) {
		shelf := base.copied()
		shelf.images["evil"] = image(t, v1.Config{Cmd: []string{"/x"}, Labels: map[string]string{"org.mobyproject.config": label}}, nil)
		root := map[string]string{}
		if quickly(t, shelf, text, func(h *tar.Header, content string) { root[h.Name] = content }) != nil {
			return
		}
		var config struct {
			Process struct{ Args []string }
			Mounts  []struct{ Destination string }
		}
		if err := json.Unmarshal([]byte(root["containers/services/s/config.json"]), &config); err != nil {
			t.Fatal(err)
		}
		if len(config.Process.Args) == 0 || !slices.ContainsFunc(config.Mounts, func(m struct{ Destination string }) bool { return m.Destination == "/d" }) {
			t.Errorf("the template's own settings are lost: %+v", config)
		}
	})
}

// FuzzLayer unpacks any bytes as a layer: what is written lies in its folder.
func FuzzLayer(f *testing.F) {
	for _, entries := range [][]entry{
		{{name: "../x", content: "x"}, {name: "a", content: "/", kind: tar.TypeSymlink}},
		{{name: "d/.wh..wh..opq"}, {name: ".wh.a"}, {name: "d/x", content: "1"}, {name: "h", content: "d/x", kind: tar.TypeLink}},
		{{name: "bin", content: "usr/bin", kind: tar.TypeSymlink}, {name: "bin/x", content: "1"}},
	} {
		f.Add([]byte(tarOf(f, entries)))
	}
	base := newShelf(f)
	f.Fuzz(func(t *testing.T, layer []byte) {
		shelf := base.copied()
		shelf.images["evil"] = rawImage{shelf.images["web"], layer}
		const folder = "containers/services/s/"
		_ = quickly(t, shelf, service, func(h *tar.Header, _ string) {
			if h.PAXRecords["LINUXKIT.location"] != "services[0]" {
				return
			}
			if !strings.HasPrefix(folder, h.Name) && !strings.HasPrefix(h.Name, folder) {
				t.Errorf("%q lies outside", h.Name)
			}
			if strings.Contains("/"+h.Name+"/", "/../") {
				t.Errorf("%q climbs", h.Name)
			}
		})
	})
}

// quickly makes the image's tar: an initrd goes through the store, and so
// through a disk.
func quickly(t *testing.T, shelf shelf, text string, each func(h *tar.Header, content string)) error {
	t.Helper()
	b := newBuilder(t, shelf, map[string]string{"t.yml": text})
	d, err := b.Resolve(t.Context(), templateImage(nil))
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	if err := b.WriteTar(t.Context(), templateImage(nil), d, &content, nil); err != nil {
		return err
	}
	eachTarEntry(t, content.Bytes(), each)
	return nil
}

// rawImage has one layer of any bytes.
type rawImage struct {
	v1.Image
	layer []byte
}

func (i rawImage) Layers() ([]v1.Layer, error) { return []v1.Layer{rawLayer{content: i.layer}}, nil }

type rawLayer struct {
	v1.Layer
	content []byte
}

func (l rawLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.content)), nil
}

// FuzzInitrd writes files into an initrd and reads them back.
func FuzzInitrd(f *testing.F) {
	f.Add("etc/x", "content", "0644", uint32(1))
	f.Add("TRAILER!!!", "", "7777", uint32(1<<31))
	f.Add("a/../b", "\x00", "0", uint32(0))
	shared, err := store.Open(f.TempDir()) // what stays the same is built once
	if err != nil {
		f.Fatal(err)
	}
	shelf := newShelf(f)
	f.Fuzz(func(t *testing.T, name, content, mode string, uid uint32) {
		quoted := func(text string) string {
			b, err := json.Marshal(strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "${", "$${"))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		text := fmt.Sprintf("%sfiles: [{path: %s, contents: %s, mode: %s, uid: %d}]\n", simple, quoted(name), quoted(content), quoted(mode), uid)
		b := newBuilder(t, shelf, map[string]string{"t.yml": text})
		b.Store = shared
		artifact, err := tryBuild(b, templateImage(nil))
		if err != nil {
			return
		}
		got, found := unpacked(t, artifact)[path.Clean("/" + strings.ToValidUTF8(name, "?"))[1:]]
		want := strings.ToValidUTF8(content, "?")
		if !found || got.Content != want || got.UID != uint64(uid) || got.Mode&0o170000 != 0o100000 {
			t.Errorf("%q became %+v (%v), want %q", name, got, found, want)
		}
	})
}
