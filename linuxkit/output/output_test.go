package output_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/lkup/lkup/linuxkit/output"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain lets the test binary write the formats in circumstances of its own.
func TestMain(m *testing.M) {
	if dir := os.Getenv("OUTPUT_TEST_DIR"); dir != "" {
		syscall.Umask(0o077)
		lines, err := digestsIn(dir)
		if err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		_, _ = io.WriteString(os.Stdout, lines)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// packages are made up: loaders of the right shape that start nothing.
type packages struct{ files map[string][]byte }

func madeUpPackages() packages {
	isolinux := noise("isolinux", 5001)
	copy(isolinux[64:], "\xfb\xc0\x78\x70")
	return packages{map[string][]byte{
		"usr/lib/ISOLINUX/isolinux.bin":                    isolinux,
		"usr/lib/ISOLINUX/isohdpfx.bin":                    noise("mbr", 432),
		"usr/lib/syslinux/modules/bios/ldlinux.c32":        noise("ldlinux", 3000),
		"usr/lib/systemd/boot/efi/linuxx64.efi.stub":       stub(1, 0x400),
		"usr/lib/systemd/boot/efi/linuxaa64.efi.stub":      stub(1, 0x400),
		"usr/share/other/linuxx64.efi.stub":                noise("no stub", 100),
		"usr/lib/syslinux/modules/efi64/other/ldlinux.c32": noise("not for a BIOS", 100),
	}}
}

func (p packages) Resolve(_ context.Context, ref, _ string) (sources.Digest, error) {
	return store.Key(ref), nil
}

func (p packages) Image(context.Context, string, string, sources.Digest, sources.Report) (v1.Image, error) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for name, file := range p.files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(file))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(file); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(empty.Image, layer)
}

// noise is n bytes that follow from a name and do not repeat.
func noise(name string, n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		sum := sha256.Sum256(fmt.Append(nil, name, i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

// stub is an EFI program with sections, and headers of a size.
func stub(sections uint16, headers uint32) []byte {
	b := make([]byte, 0x600)
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x86:], sections)
	le.PutUint16(b[0x94:], 240)
	le.PutUint16(b[0x98:], 0x20b)
	le.PutUint32(b[0xb8:], 0x200) // alignment in memory
	le.PutUint32(b[0xbc:], 0x200) // and in the file
	le.PutUint32(b[0xd0:], 0x3200)
	le.PutUint32(b[0xd4:], headers)
	return b
}

// madeUp is an image that boots nowhere.
func madeUp(dir string) (output.Image, error) {
	img := output.Image{Digest: store.Key("made up"), Arch: "amd64", Cmdline: "console=ttyS0 quiet", WriteTar: func(_ context.Context, w io.Writer) error {
		return writeTar(w)
	}}
	parts := map[string]*[]string{"kernel": nil, "a.cpio": &img.Initrds, "b.cpio": &img.Initrds, "disk.cpio": &img.RootDisk}
	for _, name := range []string{"kernel", "a.cpio", "b.cpio", "disk.cpio"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, noise(name, 300_001), 0o600); err != nil {
			return output.Image{}, err
		}
		if list := parts[name]; list != nil {
			*list = append(*list, path)
		} else {
			img.Kernel = path
		}
	}
	return img, nil
}

// writeTar writes a root in which names come twice, a folder is missing, and
// a link comes before what it links to.
func writeTar(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, e := range []struct {
		kind          byte
		name, content string
		mode          int64
	}{
		{tar.TypeDir, "boot", "", 0o755}, {tar.TypeReg, "boot/kernel", "kernel", 0o644},
		{tar.TypeDir, "etc", "", 0o700}, {tar.TypeReg, "etc/x", "first", 0o600},
		{tar.TypeLink, "bin/hard", "bin/tool", 0o755},
		{tar.TypeReg, "bin/tool", "tool", 0o755}, {tar.TypeSymlink, "sbin", "bin", 0o777},
		{tar.TypeDir, "etc", "", 0o755}, {tar.TypeReg, "etc/x", "second", 0o644},
		{tar.TypeChar, "dev/null", "", 0o666},
	} {
		h := &tar.Header{Format: tar.FormatPAX, Typeflag: e.kind, Name: e.name, Mode: e.mode, PAXRecords: map[string]string{"LINUXKIT.location": "init[0]"}}
		if e.kind == tar.TypeReg {
			h.Size = int64(len(e.content))
		} else {
			h.Linkname = e.content
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if h.Size > 0 {
			if _, err := io.WriteString(out, e.content); err != nil {
				return err
			}
		}
	}
	return out.Close()
}

// digestsIn writes every format below dir, and lists the files' digests.
func digestsIn(dir string) (string, error) {
	s, err := store.Open(filepath.Join(dir, "store"))
	if err != nil {
		return "", err
	}
	img, err := madeUp(dir)
	if err != nil {
		return "", err
	}
	b := output.Builder{Store: s, Packages: madeUpPackages()}
	var lines strings.Builder
	for _, name := range output.Formats() {
		files, err := b.Build(context.Background(), img, output.Format(name))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			content, err := os.ReadFile(f.Path)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&lines, "%s %s %x\n", f.Format, f.Suffix, sha256.Sum256(content))
		}
	}
	return lines.String(), nil
}

func TestTheSameImageIsTheSameBytesEverywhere(t *testing.T) {
	here, err := digestsIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "OUTPUT_TEST_DIR="+t.TempDir(), "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=86400", "TMPDIR="+t.TempDir())
	var problems bytes.Buffer
	child.Stderr = &problems
	there, err := child.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, problems.String())
	}
	if diff := cmp.Diff(here, string(there)); diff != "" {
		t.Errorf("in another time zone, with another umask, in another folder:\n%s", diff)
	}
	// What is stored by key is not made again, so a change of the bytes needs
	// a change of the key: of "edition" in output.go. A squashfs is left out,
	// whose bytes are its program's.
	var own strings.Builder
	for line := range strings.Lines(here) {
		if !strings.Contains(line, "-squashfs.img") {
			own.WriteString(line)
		}
	}
	golden(t, "digests.txt", own.String())
}

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

// newBuilder has a store of its own.
func newBuilder(t *testing.T, from sources.Components) (*output.Builder, output.Image) {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img, err := madeUp(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &output.Builder{Store: s, Packages: from}, img
}

func buildOne(t *testing.T, b *output.Builder, img output.Image, format output.Format) output.File {
	t.Helper()
	files, err := b.Build(context.Background(), img, format)
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

func TestAnImageIsWrittenOnce(t *testing.T) {
	b, img := newBuilder(t, madeUpPackages())
	var mu sync.Mutex
	var told []string
	b.Report = func(p sources.Progress) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, p.What)
	}
	for _, name := range output.Formats() {
		if _, err := b.Build(context.Background(), img, output.Format(name)); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) == 0 {
		t.Error("nothing was told")
	}
	told = nil
	for _, name := range output.Formats() {
		if _, err := b.Build(context.Background(), img, output.Format(name)); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) > 0 {
		t.Errorf("written again: %v", told)
	}
}

// QEMU's own program agrees with what a converted disk holds.
func TestConvertedDisksHoldTheSame(t *testing.T) {
	b, img := newBuilder(t, madeUpPackages())
	for format, c := range map[output.Format]struct {
		kind string
		raw  output.Format
	}{
		output.QCOW2BIOS: {"qcow2", output.RawBIOS},
		output.QCOW2EFI:  {"qcow2", output.RawEFI},
		output.VMDK:      {"vmdk", output.RawBIOS},
	} {
		disk, raw := buildOne(t, b, img, format), buildOne(t, b, img, c.raw)
		for _, args := range [][]string{
			{"check", "-f", c.kind, disk.Path},
			{"compare", "-f", c.kind, "-F", "raw", disk.Path, raw.Path},
		} {
			if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
				t.Errorf("%s: qemu-img %s: %v\n%s", format, args[0], err, out)
			}
		}
	}
}

func TestASquashfsHasEachNameOnceAndAsItWasLast(t *testing.T) {
	b, img := newBuilder(t, nil)
	files, err := b.Build(context.Background(), img, output.KernelSquashfs)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	out, err := exec.Command("unsquashfs", "-lln", "-UTC", files[1].Path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	golden(t, "squashfs.txt", strings.Join(lines, "\n")+"\n")
	if out, err := exec.Command("unsquashfs", "-no-progress", "-excludes", "-d", dir, files[1].Path, "dev").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"etc/x": "second", "bin/tool": "tool", "bin/hard": "tool"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

func TestMicrocodeStaysInFrontAsItIs(t *testing.T) {
	b, img := newBuilder(t, nil)
	microcode := append(bytes.Repeat([]byte("kernel/x86/microcode/GenuineIntel.bin\x00"), 4), noise("microcode", 4000)...)
	path := filepath.Join(t.TempDir(), "microcode.cpio")
	if err := os.WriteFile(path, microcode, 0o600); err != nil {
		t.Fatal(err)
	}
	img.Initrds = append([]string{path}, img.Initrds...)
	files, err := b.Build(context.Background(), img, output.KernelInitrd)
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := os.ReadFile(files[1].Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(initrd, append(microcode, 0x1f, 0x8b)) {
		t.Error("the initrd does not begin with the microcode and then a compressed part")
	}
}

func TestWhatCannotBeWrittenSaysWhy(t *testing.T) {
	noLoader := packages{map[string][]byte{"usr/lib/ISOLINUX/isohdpfx.bin": {1}}}
	oldLoader := packages{map[string][]byte{}}
	fullStub, noStub, cutStub := madeUpPackages(), madeUpPackages(), madeUpPackages()
	for name := range madeUpPackages().files {
		oldLoader.files[name] = noise(name, 5000)
	}
	const name = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	fullStub.files[name] = stub(6, 0x300)
	noStub.files[name] = noise("x", 4096)
	cutStub.files[name] = stub(1, 0x400)[:0x200]
	for _, c := range []struct {
		why    string
		from   packages
		format output.Format
		change func(*output.Image)
		want   string
	}{
		{"loader missing", noLoader, output.ISOBIOS, nil, "the boot loader's file isolinux.bin is not on this computer; install the packages isolinux and syslinux-common"},
		{"stub missing", packages{}, output.RawEFI, nil, "linuxx64.efi.stub is not on this computer; install the package systemd-boot-efi"},
		{"loader too old", oldLoader, output.RawBIOS, nil, "isolinux.bin cannot be started from a disk"},
		{"stub full", fullStub, output.RawEFI, nil, "the EFI stub has no room for more sections"},
		{"stub wrong", noStub, output.ISOEFI, nil, "the EFI stub is no EFI program"},
		{"stub cut short", cutStub, output.ISOEFI, nil, "the EFI stub has no room"},
		{"architecture", madeUpPackages(), output.VMDK, func(i *output.Image) { i.Arch = "arm64" }, "vmdk is for amd64, not for arm64"},
		{"line break", madeUpPackages(), output.ISOBIOS, func(i *output.Image) { i.Cmdline = "a\nKERNEL /evil" }, "has a line break"},
		{"long command line", madeUpPackages(), output.ISOBIOS, func(i *output.Image) { i.Cmdline = strings.Repeat("a", 2048) }, "has 2048 bytes, and a kernel takes 2047"},
		{"unknown", madeUpPackages(), "raw", nil, `no format "raw"`},
	} {
		t.Run(c.why, func(t *testing.T) {
			b, img := newBuilder(t, c.from)
			if c.change != nil {
				c.change(&img)
			}
			_, err := b.Build(context.Background(), img, c.format)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWithoutItsProgramASquashfsSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	b, img := newBuilder(t, nil)
	_, err := b.Build(context.Background(), img, output.KernelSquashfs)
	if err == nil || !strings.Contains(err.Error(), "install the package squashfs-tools") {
		t.Errorf("got %v", err)
	}
}
