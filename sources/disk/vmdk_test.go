package disk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/store"
)

func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	if output, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v: %s", strings.Join(args, " "), err, output)
	}
}

func newImages(t *testing.T, limits disk.Limits) disk.Images {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return disk.Images{Store: s, Arch: "amd64", Limits: limits}
}

// artifact makes an image's artifact of a file's content.
func artifact(t *testing.T, images disk.Images, content []byte) (sources.Artifact, error) {
	t.Helper()
	d, err := images.Store.Put(context.Background(), content)
	if err != nil {
		t.Fatal(err)
	}
	a, err := images.Artifact(context.Background(), d, nil)
	if err != nil {
		if _, ok := images.Open(d); ok {
			t.Error("what could not be made counts as made")
		}
		left, _ := filepath.Glob(filepath.Join(images.Store.Dir("tmp"), "*"))
		built, _ := filepath.Glob(filepath.Join(images.Store.Dir("built"), "*"))
		if len(left)+len(built) > 0 {
			t.Errorf("a failure left %v %v", left, built)
		}
	}
	return a, err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// rawDisk has data, repetition and holes, and no round size.
func rawDisk() []byte {
	content := make([]byte, 5<<20+3*512)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(content[:300_000])
	_, _ = random.Read(content[len(content)-5_000:])
	copy(content[3<<20:], bytes.Repeat([]byte("lkup"), 50_000))
	return content
}

// vmdks are what qemu-img makes of rawDisk, by subformat.
func makeVMDK(t *testing.T, subformat string) string {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out.vmdk")
	if err := os.WriteFile(in, rawDisk(), 0o600); err != nil {
		t.Fatal(err)
	}
	qemuImg(t, "convert", "-t", "unsafe", "-f", "raw", "-O", "vmdk", "-o", "subformat="+subformat, in, out)
	return out
}

func TestAVMDKBecomesARawDisk(t *testing.T) {
	for _, subformat := range []string{"monolithicSparse", "streamOptimized", "streamOptimized with a footer"} {
		t.Run(subformat, func(t *testing.T) {
			content := read(t, makeVMDK(t, strings.TrimSuffix(subformat, " with a footer")))
			if strings.HasSuffix(subformat, " with a footer") {
				content = withFooter(content)
			}
			a, err := artifact(t, newImages(t, disk.Limits{}), content)
			if err != nil {
				t.Fatal(err)
			}
			if a.DiskFormat != disk.Raw || !bytes.Equal(read(t, a.Disk), rawDisk()) {
				t.Errorf("it became another disk, %s", a.DiskFormat)
			}
			for _, cut := range []int{100, 600, 5000, len(content) / 2, len(content) - 64<<10 + 512} {
				if _, err := artifact(t, newImages(t, disk.Limits{}), content[:cut]); err == nil {
					t.Errorf("its first %d bytes of %d were taken for whole", cut, len(content))
				}
			}
		})
	}
}

// withFooter moves the header that counts to the end, as VMware's own tools
// write streams: a marker, the footer, and a marker of the end.
func withFooter(content []byte) []byte {
	marker, end := make([]byte, 512), make([]byte, 512)
	marker[0], marker[12] = 1, 3
	footer := bytes.Clone(content[:512])
	binary.LittleEndian.PutUint64(content[56:], 1<<64-1)
	return slices.Concat(content, marker, footer, end)
}

func TestAFooterThatSaysSomethingElseIsRefused(t *testing.T) {
	content := withFooter(read(t, makeVMDK(t, "streamOptimized")))
	footer := content[len(content)-1024:]
	for at, name := range map[int]string{12: "capacity", 20: "grains", 57: "directory"} {
		was := footer[at]
		footer[at] <<= 1
		footer[at+1] |= 0x10
		if _, err := artifact(t, newImages(t, disk.Limits{}), content); err == nil {
			t.Errorf("a footer with other %s was taken", name)
		}
		footer[at], footer[at+1] = was, footer[at+1]&^0x10
	}
}

func TestAVMDKInOtherFilesIsRefused(t *testing.T) {
	for _, subformat := range []string{"twoGbMaxExtentFlat", "twoGbMaxExtentSparse", "monolithicFlat"} {
		description := makeVMDK(t, subformat)
		if _, err := disk.Look(description); err == nil || !strings.Contains(err.Error(), "other files") {
			t.Errorf("%s: %v", subformat, err)
		}
	}
	part := strings.Replace(makeVMDK(t, "twoGbMaxExtentSparse"), ".vmdk", "-s001.vmdk", 1)
	if _, err := disk.Look(part); err == nil || !strings.Contains(err.Error(), "one part of") {
		t.Errorf("a part: %v", err)
	}
	base := makeVMDK(t, "monolithicSparse")
	child := filepath.Join(filepath.Dir(base), "child.vmdk")
	qemuImg(t, "create", "-f", "vmdk", "-b", base, "-F", "vmdk", child)
	if _, err := disk.Look(child); err == nil || !strings.Contains(err.Error(), "parent in another file") {
		t.Errorf("a child: %v", err)
	}
}

// changed is a sound VMDK of one sparse file, with a part of it changed.
func changed(t *testing.T, change func(content []byte)) []byte {
	content := read(t, makeVMDK(t, "monolithicSparse"))
	change(content)
	return content
}

func TestVMDKHeaders(t *testing.T) {
	sound := read(t, makeVMDK(t, "monolithicSparse"))
	with := func(change func([]byte)) []byte {
		content := bytes.Clone(sound)
		change(content)
		return content
	}
	put32 := func(at int, value uint32) []byte {
		return with(func(h []byte) { binary.LittleEndian.PutUint32(h[at:], value) })
	}
	put64 := func(at int, value uint64) []byte {
		return with(func(h []byte) { binary.LittleEndian.PutUint64(h[at:], value) })
	}
	described := func(old, replacement string) []byte {
		return with(func(h []byte) {
			text := strings.Replace(string(h[512:4096]), old, replacement, 1)
			if text == string(h[512:4096]) {
				t.Fatalf("no %q in the description", old)
			}
			copy(h[512:4096], text)
		})
	}
	checkHeaders(t, []header{
		{"sound", sound, "vmdk", ""},
		{"version 9", put32(4, 9), "", "version 9"},
		// QEMU takes such a header for a mere description, and opens what it names.
		{"no capacity", put64(12, 0), "", "a disk of 0 sectors"},
		{"capacity beyond all disks", put64(12, 1<<60), "", "sectors"},
		{"grains of one sector", put64(20, 1), "", "grains of 1 sectors"},
		{"grains of no power of two", put64(20, 100), "", "grains of 100"},
		{"endless grains", put64(20, 1<<63), "", "grains of"},
		{"tables of one entry", put32(44, 1), "", "tables of 1"},
		{"directory outside", put64(56, 1<<50), "", "grain directory at"},
		{"directory at 0", put64(56, 0), "", "grain directory at"},
		{"footer missing", put64(56, 1<<64-1), "", "footer is missing"},
		{"no description", put64(28, 0), "", "one part of"},
		{"description outside", put64(28, 1<<55), "", "description of"},
		{"endless description", put64(36, 1<<60), "", "description of"},
		{"unknown compression", with(func(h []byte) { h[10] = 1; h[77] = 7 }), "", "a way that lkup does not know"},
		{"compression of nothing", with(func(h []byte) { h[77] = 1 }), "", "no grain uses"},
		{"parent", described("parentCID=ffffffff", "parentCID=12345678"), "", "difference to another disk"},
		{"parent by name", described("createType=", "parentFileNameHint=\"/etc/shadow\"\ncreateType="), "", "parent in another file"},
		{"other kind", described("monolithicSparse", "monolithicFlat"), "", `kind "monolithicFlat"`},
		{"flat extent", described("SPARSE", "FLAT"), "", "its extent is FLAT"},
		{"extent elsewhere", described(`"out.vmdk"`, `"/etc/shadow"`), "", "outside of it"},
		{"second extent", described("RW ", "RW 8 FLAT \"/etc/shadow\" 0\nRW "), "", "2 extents"},
		{"second extent behind a carriage return", described("RW ", "RW 8 FLAT \"/etc/shadow\" 0\rRW "), "", "2 extents"},
	})
}

func TestAVMDKThatLiesInsideIsRefused(t *testing.T) {
	directory := func(h []byte) []byte { return h[512*binary.LittleEndian.Uint64(h[56:]):] }
	table := func(h []byte) []byte { return h[512*binary.LittleEndian.Uint32(directory(h)):] }
	for name, c := range map[string]struct {
		change func([]byte)
		want   string
	}{
		"table outside": {func(h []byte) { binary.LittleEndian.PutUint32(directory(h), 1<<31) }, "outside of the file"},
		"grain outside": {func(h []byte) { binary.LittleEndian.PutUint32(table(h), 1<<31) }, "outside of the file"},
		"one grain for all": {func(h []byte) {
			first := binary.LittleEndian.Uint32(table(h))
			for i := range 80 {
				binary.LittleEndian.PutUint32(table(h)[4*i:], first)
			}
		}, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifact(t, newImages(t, disk.Limits{Data: 1 << 20, Ratio: 1}), changed(t, c.change))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error with %q, got %v", c.want, err)
			}
		})
	}
	stream := read(t, makeVMDK(t, "streamOptimized"))
	for name, change := range map[string]func(grain []byte){
		"of another sector": func(g []byte) { g[0]++ },
		"without an end":    func(g []byte) { binary.LittleEndian.PutUint32(g[8:], 1<<31) },
		"damaged":           func(g []byte) { copy(g[12:], "no zlib") },
	} {
		content := bytes.Clone(stream)
		change(content[512*binary.LittleEndian.Uint32(table(content)):])
		if _, err := artifact(t, newImages(t, disk.Limits{}), content); err == nil {
			t.Errorf("a grain %s was taken", name)
		}
	}
}

func TestADiskLargerThanAllowedIsRefused(t *testing.T) {
	content := changed(t, func([]byte) {})
	if _, err := artifact(t, newImages(t, disk.Limits{Size: 1 << 20}), content); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("got %v", err)
	}
}
