package linuxkit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/gzip"

	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// entry is one of a layer: a file, or a folder or link by its target.
type entry struct {
	name, content string
	kind          byte // tar.TypeReg if 0
	mode          int64
	uid           int
	xattr         string // security.capability
}

// shelf is a source of components that counts how often one is opened. Its
// refs need no scheme.
type shelf struct {
	images map[string]v1.Image
	opened *atomic.Int32
}

func (s shelf) Resolve(_ context.Context, ref, _ string) (sources.Digest, error) {
	image, ok := s.images[ref]
	if !ok {
		return "", fmt.Errorf("no image %q", ref)
	}
	d, err := image.Digest()
	return sources.Digest(d.String()), err
}

func (s shelf) Image(_ context.Context, ref, _ string, _ sources.Digest, _ sources.Report) (v1.Image, error) {
	s.opened.Add(1)
	return s.images[ref], nil
}

// copied has the same components, and may get others.
func (s shelf) copied() shelf {
	return shelf{opened: &atomic.Int32{}, images: maps.Clone(s.images)}
}

func newShelf(t testing.TB) shelf {
	t.Helper()
	return shelf{opened: &atomic.Int32{}, images: map[string]v1.Image{
		"kernel": image(t, v1.Config{}, []entry{{name: "kernel", content: bzImage(t, "\x7fELF kernel")}, {name: "kernel.tar", content: tarOf(t, []entry{
			{name: "./lib/modules/6.1/", kind: tar.TypeDir}, {name: "./lib/modules/6.1/modules.dep", content: "x:"},
		})}}),
		"init":         image(t, v1.Config{}, []entry{{name: "init", content: "init", mode: 0o755}}),
		"builtin:init": image(t, v1.Config{}, []entry{{name: "init", content: "init", mode: 0o755}}),
		"runc":         image(t, v1.Config{}, []entry{{name: "usr/bin/runc", content: "runc", mode: 0o755}}),
		"debian": image(t, v1.Config{}, []entry{
			{name: "usr/", kind: tar.TypeDir, mode: 0o755}, {name: "usr/bin/", kind: tar.TypeDir, mode: 0o755},
			{name: "bin", content: "usr/bin", kind: tar.TypeSymlink}, {name: "lib", content: "/usr/lib", kind: tar.TypeSymlink},
			{name: "usr/bin/runc", content: "debian runc", mode: 0o755},
		}),
		"web": image(t, v1.Config{
			Entrypoint: []string{"/bin/web"}, Cmd: []string{"-p", "80"}, Env: []string{"PATH=/bin"}, WorkingDir: "/srv",
		}, []entry{{name: "bin/web", content: "web", mode: 0o755}, {name: "etc/hostname", content: "left over"}}),
		"labelled": image(t, v1.Config{
			Cmd: []string{"/x"},
			Labels: map[string]string{"org.mobyproject.config": `{"binds": ["/etc/resolv.conf:/etc/resolv.conf"], "capabilities": ["CAP_SYS_ADMIN"], ` +
				`"net": "new", "readonly": true, "runtime": {"mkdir": ["/from/label"], "bindNS": {"net": "/run/netns/l", "ipc": "/run/ipc"}}}`},
		}, []entry{{name: "x", content: "x", mode: 0o755}}),
	}}
}

func image(t testing.TB, config v1.Config, layers ...[]entry) v1.Image {
	t.Helper()
	img := empty.Image
	for _, entries := range layers {
		content := []byte(tarOf(t, entries))
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	img, err := mutate.Config(img, config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func tarOf(t testing.TB, entries []entry) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Uid: e.uid}
		if e.xattr != "" {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": e.xattr}
		}
		if e.kind == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.content))
		} else {
			h.Linkname = e.content
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if e.kind == 0 {
			if _, err := io.WriteString(w, e.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// bzImage wraps an ELF file the way the kernel's build does, with gzip.
func bzImage(t testing.TB, elf string) string {
	t.Helper()
	var payload bytes.Buffer
	w := gzip.NewWriter(&payload)
	if _, err := io.WriteString(w, elf); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return wrap(payload.Bytes())
}

func wrap(payload []byte) string {
	head := make([]byte, 2*512)
	copy(head[0x202:], "HdrS")
	head[0x1f1] = 1
	binary.LittleEndian.PutUint16(head[0x206:], 0x20f)
	binary.LittleEndian.PutUint32(head[0x24c:], uint32(len(payload)))
	return string(head) + string(payload)
}

func newBuilder(t *testing.T, shelf shelf, files map[string]string) *linuxkit.Builder {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	project := fstest.MapFS{}
	for name, content := range files {
		project[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return &linuxkit.Builder{Project: project, Components: map[string]sources.Components{"oci": shelf}, Store: s, Arch: "amd64"}
}

func templateImage(vars map[string]string) spec.Image {
	return spec.Image{Address: "template.t", Template: &spec.Template{File: "t.yml", Vars: vars}}
}

func build(t *testing.T, b *linuxkit.Builder) sources.Artifact {
	t.Helper()
	artifact, err := tryBuild(b, templateImage(nil))
	if err != nil {
		t.Fatal(err)
	}
	return artifact
}

func tryBuild(b *linuxkit.Builder, img spec.Image) (sources.Artifact, error) {
	d, err := b.Resolve(context.Background(), img)
	if err != nil {
		return sources.Artifact{}, err
	}
	return b.Fetch(context.Background(), img, d, nil)
}

// node is a file in the guest's root.
type node struct {
	Mode    uint64 // with its type
	UID     uint64
	GID     uint64
	Content string // or a link's target
}

// unpacked reads initrds as the kernel does: one after the other, the last
// entry of a name counts. An entry whose folder is missing is an error; the
// kernel would drop it without a word.
func unpacked(t *testing.T, artifact sources.Artifact) map[string]node {
	t.Helper()
	root := map[string]node{}
	for _, path := range artifact.Initrds {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(content)%4 != 0 {
			t.Errorf("%s has %d bytes, no multiple of 4", path, len(content))
		}
		if strings.HasPrefix(string(content), "microcode") { // of a test's component, instead of an archive
			root["MICROCODE"] = node{Content: string(content)}
			continue
		}
		readArchive(t, content, root)
	}
	return root
}

func readArchive(t *testing.T, content []byte, root map[string]node) {
	t.Helper()
	field := func(at, n int) (value uint64) {
		if _, err := fmt.Sscanf(string(content[at+6+8*n:at+14+8*n]), "%x", &value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	round := func(n int) int { return (n + 3) &^ 3 }
	for at := 0; ; {
		if string(content[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		size, nameSize := int(field(at, 6)), int(field(at, 11))
		name := string(content[at+110 : at+110+nameSize-1])
		if name == "TRAILER!!!" {
			return
		}
		start := round(at + 110 + nameSize)
		if above := filepath.Dir(name); above != "." && root[above].Mode&0o170000 != 0o040000 {
			t.Errorf("%q comes before its folder", name)
		}
		root[name] = node{Mode: field(at, 1), UID: field(at, 2), GID: field(at, 3), Content: string(content[start : start+size])}
		at = round(start + size)
	}
}

const simple = "kernel: {image: kernel}\ninit: [init]\n"

func TestTemplatesPassTheContract(t *testing.T) {
	var project fstest.MapFS
	sourcetest.Source(t, sourcetest.SourceCase{
		New: func(t *testing.T) (sources.Source, spec.Image) {
			b := newBuilder(t, newShelf(t), map[string]string{
				"t.yml": simple + "files: [{path: etc/x, source: x}]", "x": "content",
			})
			project = b.Project.(fstest.MapFS)
			return b, templateImage(nil)
		},
		Change: func(*testing.T) { project["x"] = &fstest.MapFile{Data: []byte("other")} },
		Bad: map[string]spec.Image{
			"is no template":           {Address: "image.x", Source: "file:x"},
			"no builtin template":      {Address: "template.x", Template: &spec.Template{Builtin: "minimum"}},
			"outside the project":      {Address: "template.x", Template: &spec.Template{File: "../t.yml"}},
			"file does not exist":      {Address: "template.x", Template: &spec.Template{File: "nowhere.yml"}},
			"vars gives UNUSED, which": templateImage(map[string]string{"UNUSED": "1"}),
		},
	})
}

func TestASecondBuildOpensNoComponent(t *testing.T) {
	shelf := newShelf(t)
	b := newBuilder(t, shelf, map[string]string{"t.yml": simple})
	first := build(t, b)
	opened := shelf.opened.Load()
	second := build(t, b)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	if now := shelf.opened.Load(); now != opened || opened != 2 {
		t.Errorf("opened %d components, then %d", opened, now-opened)
	}
}

func TestAChangedFileBuildsItsPartAlone(t *testing.T) {
	b := newBuilder(t, newShelf(t), map[string]string{"t.yml": simple + "files: [{path: etc/x, source: x}]", "x": "one"})
	before := build(t, b)
	b.Project.(fstest.MapFS)["x"] = &fstest.MapFile{Data: []byte("two")}
	after := build(t, b)
	last := len(before.Initrds) - 1
	if before.Kernel != after.Kernel || !slices.Equal(before.Initrds[:last], after.Initrds[:last]) {
		t.Errorf("more than the files changed:\n%v\n%v", before, after)
	}
	if before.Initrds[last] == after.Initrds[last] {
		t.Error("the files did not change")
	}
}

func TestCommentsAndLayoutOfATemplateDoNotCount(t *testing.T) {
	shelf := newShelf(t)
	a := build(t, newBuilder(t, shelf, map[string]string{"t.yml": simple}))
	b := build(t, newBuilder(t, shelf, map[string]string{"t.yml": "# hello\ninit:\n  - init\n\nkernel:\n  image: kernel\n"}))
	if a.Digest != b.Digest {
		t.Error("the digests differ")
	}
}

const full = `
kernel: {image: kernel, cmdline: "console=ttyS0 a=b"}
init: [init, runc]
onboot:
  - {name: first, image: web, command: [/bin/web, --once]}
  - {name: second, image: labelled}
services:
  - {name: web, image: web}
files:
  - {path: /etc/motd, contents: "hello", mode: "0644"}
  - {path: secret, contents: "s"}
  - {path: var/empty, directory: true, mode: "0755", uid: web}
  - {path: etc/localtime, symlink: /usr/share/zoneinfo/UTC}
`

func TestTwoBuildsGiveTheSameBytes(t *testing.T) {
	var contents []map[string]string
	for range 2 {
		artifact := build(t, newBuilder(t, newShelf(t), map[string]string{"t.yml": full}))
		files := map[string]string{}
		for _, path := range append(artifact.Initrds, artifact.Kernel) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(filepath.Dir(path))] = string(content)
		}
		contents = append(contents, files)
	}
	if diff := cmp.Diff(contents[0], contents[1]); diff != "" {
		t.Error(diff)
	}
}

func TestTheGuestsTree(t *testing.T) {
	artifact := build(t, newBuilder(t, newShelf(t), map[string]string{"t.yml": full}))
	var text strings.Builder
	fmt.Fprintf(&text, "cmdline %q guest %v arch %s\n", artifact.Cmdline, artifact.Guest, artifact.Arch)
	root := unpacked(t, artifact)
	for _, name := range slices.Sorted(keys(root)) {
		n := root[name]
		if strings.HasSuffix(name, ".json") {
			n.Content = "..."
		}
		fmt.Fprintf(&text, "%06o %d %s %q\n", n.Mode, n.UID, name, n.Content)
	}
	golden(t, "tree.golden", text.String())
	kernel, err := os.ReadFile(artifact.Kernel)
	if err != nil || string(kernel) != "\x7fELF kernel" {
		t.Errorf("kernel %q, %v", kernel, err)
	}
}

// TestAKernelStaysPackedForWhoBootsItSo: Hyperkit boots what QEMU need not.
func TestAKernelStaysPackedForWhoBootsItSo(t *testing.T) {
	b := newBuilder(t, newShelf(t), map[string]string{"t.yml": full})
	unpacked := build(t, b)
	b.PackedKernels = true
	b.Store = newBuilder(t, newShelf(t), nil).Store
	packed, err := os.ReadFile(build(t, b).Kernel)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(unpacked.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(packed, []byte("\x7fELF")) || bytes.Equal(packed, plain) {
		t.Errorf("the kernel was unpacked: %.20q", packed)
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

func TestMistakesNameTheirPlaceAndWhatToWrite(t *testing.T) {
	templates, err := filepath.Glob("testdata/mistakes/*.yml")
	if err != nil || len(templates) == 0 {
		t.Fatal("no templates", err)
	}
	for _, path := range templates {
		name := strings.TrimSuffix(filepath.Base(path), ".yml")
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = tryBuild(newBuilder(t, newShelf(t), map[string]string{"t.yml": string(content)}), templateImage(map[string]string{"GIVEN": "1"}))
			if err == nil {
				t.Fatal("it was built")
			}
			golden(t, "mistakes/"+name+".golden", err.Error()+"\n")
		})
	}
}

func TestVariables(t *testing.T) {
	const text = simple + "files:\n  - {path: a, contents: \"${A} ${B:-b: [x]} $${HOME} $HOME\", uid: \"${ID}\"} # ${COMMENT}\n"
	b := newBuilder(t, newShelf(t), map[string]string{"t.yml": text})
	artifact, err := tryBuild(b, templateImage(map[string]string{"A": "a\n: \"", "ID": "7"}))
	if err != nil {
		t.Fatal(err)
	}
	want := node{Mode: 0o100600, UID: 7, Content: "a\n: \" b: [x] ${HOME} $HOME"}
	if diff := cmp.Diff(want, unpacked(t, artifact)["a"]); diff != "" {
		t.Error(diff)
	}
}

// The kernel cannot unpack one component's /lib/x behind another's link.
func TestALinkIntoUsrCountsForTheWholeRoot(t *testing.T) {
	text := "kernel: {image: kernel}\ninit: [debian, init, web]\nfiles: [{path: lib/firmware/x, contents: x, mode: \"0644\"}]\n"
	root := unpacked(t, build(t, newBuilder(t, newShelf(t), map[string]string{"t.yml": text})))
	for name, want := range map[string]string{
		"usr/lib/modules/6.1/modules.dep": "x:", "usr/bin/web": "web", "usr/lib/firmware/x": "x", "lib": "/usr/lib", "bin": "usr/bin",
	} {
		if root[name].Content != want {
			t.Errorf("%s is %+v", name, root[name])
		}
	}
	for name := range root {
		if strings.HasPrefix(name, "lib/") || strings.HasPrefix(name, "bin/") {
			t.Errorf("%s lies behind a link", name)
		}
	}
}

func TestWithoutABuiltinInitAnImageIsNoGuestOfOurs(t *testing.T) {
	shelf := newShelf(t)
	if build(t, newBuilder(t, shelf, map[string]string{"t.yml": simple})).Guest {
		t.Error("an image with another init takes a seed")
	}
	shelf.images["builtin:init"] = shelf.images["init"]
	artifact := build(t, newBuilder(t, shelf, map[string]string{"t.yml": "kernel: {image: kernel}\ninit: [\"builtin:init\"]\n"}))
	if !artifact.Guest || artifact.Cmdline != "console=ttyS0 quiet cryptomgr.notests noreplace-smp panic=-1" {
		t.Errorf("got %+v", artifact)
	}
}
