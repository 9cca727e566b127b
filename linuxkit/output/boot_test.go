package output_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/embedded"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/linuxkit/output"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/apt"
	"github.com/lkup/lkup/sources/builtin"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// patience bounds a boot, on a computer that is busy with other tests.
const patience = 4 * time.Minute

// firmware is EFI's, of Debian's package ovmf; a BIOS is QEMU's own.
const firmware = "/usr/share/ovmf/OVMF.fd"

// TestFormatsBoot starts the built-in template minimal from formats in QEMU, one
// after the other, until init says on the serial console that all is up. Those
// that are not here are booted by lkup itself: see disks.txtar and cd.txtar of
// cmd/lkup.
func TestFormatsBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("boots machines")
	}
	inputs, packages := testInputs(t)
	img := minimal(t, inputs, packages)
	s, err := store.Open(t.TempDir()) // so that a change of the code shows
	if err != nil {
		t.Fatal(err)
	}
	b := &output.Builder{Store: s, Packages: packages}
	built := func(format output.Format) []string {
		files, err := b.Build(context.Background(), img, format)
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, f := range files {
			paths = append(paths, f.Path)
		}
		return paths
	}
	disk := func(format output.Format, kind, bus string) []string {
		return []string{"-drive", "file=" + built(format)[0] + ",format=" + kind + ",if=" + bus + ",snapshot=on"}
	}
	efi := func(args []string) []string { return append([]string{"-bios", firmware}, args...) }
	linux := func(format output.Format, initrd int, more string) []string {
		files := built(format)
		return []string{"-kernel", files[0], "-initrd", files[initrd], "-append", img.Cmdline + more}
	}
	squashfs := func() []string {
		args := linux(output.KernelSquashfs, 2, " root=/dev/vda")
		return append(args, "-drive", "file="+built(output.KernelSquashfs)[1]+",format=raw,if=virtio,readonly=on")
	}
	for _, c := range []struct {
		format output.Format
		args   func() []string
	}{
		{output.KernelInitrd, func() []string { return linux(output.KernelInitrd, 1, "") }},
		{output.KernelSquashfs, squashfs},
		{output.VMDK, func() []string { return disk(output.VMDK, "vmdk", "ide") }},
		{output.RawEFI, func() []string { return efi(disk(output.RawEFI, "raw", "virtio")) }},
	} {
		t.Run(string(c.format), func(t *testing.T) { boot(t, c.args()) })
	}
}

// boot runs QEMU until the guest is up, and demands that its init had nothing
// to complain about.
func boot(t *testing.T, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append([]string{
		"-machine", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
	}, args...)...)
	cmd.Stderr = os.Stderr
	console, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_, _ = io.Copy(io.Discard, console)
		_ = cmd.Wait()
	}()
	var said strings.Builder
	for lines := bufio.NewScanner(console); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "lkup-init: cannot") {
			t.Error(lines.Text())
		}
		if stage, ok := guest.ParseMarker(lines.Text()); ok && stage == guest.StageUp {
			return
		}
	}
	t.Errorf("never up: %s\n%s", cmd, said.String())
}

// testInputs are sources over a store that test runs share: what goes into a
// format is not what these tests are about.
func testInputs(t *testing.T) (*store.Store, *apt.Components) {
	t.Helper()
	cache := os.Getenv("LKUP_TEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "lkup-test")
	}
	s, err := store.Open(filepath.Join(cache, "boot", "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s, apt.New(apt.Settings{Store: s, Now: time.Now})
}

// minimal is the template of that name, built.
func minimal(t *testing.T, s *store.Store, packages *apt.Components) output.Image {
	t.Helper()
	ctx, img := context.Background(), spec.Image{Address: "template.minimal", Template: &spec.Template{Builtin: "minimal"}}
	b := &linuxkit.Builder{Store: s, Arch: "amd64", Components: map[string]sources.Components{
		"apt":     packages,
		"builtin": builtin.Components{Store: s, Init: embedded.Init, Kernel: packages.Kernel(guest.Modules())},
	}}
	d, err := b.Resolve(ctx, img)
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := b.Fetch(ctx, img, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := b.Kernel(ctx, img, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return output.Image{
		Digest: d, Arch: "amd64", Cmdline: artifact.Cmdline, Kernel: kernel.Packed, Initrds: artifact.Initrds, RootDisk: kernel.RootDisk,
		WriteTar: func(ctx context.Context, w io.Writer) error { return b.WriteTar(ctx, img, d, w, nil) },
	}
}
