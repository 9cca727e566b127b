package qemu_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/embedded"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/apt"
	"github.com/lkup/lkup/sources/builtin"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// template is a machine whose process 1 is testdata/guest, in the place of
// lkup's own init, on the host distribution's kernel.
const template = `
init: ["builtin:init"]
kernel:
  image: builtin:kernel
  cmdline: quiet panic=-1 cryptomgr.notests noreplace-smp console=`

// consoles are the serial consoles, as Linux names them.
var consoles = map[string]string{"amd64": "ttyS0", "arm64": "ttyAMA0"}

// built is what testdata/guest boots from, built once for all tests and kept
// between runs.
var built = sync.OnceValues(func() (drivers.Boot, error) {
	dir, err := os.MkdirTemp("", "lkup-guest")
	if err != nil {
		return drivers.Boot{}, err
	}
	defer os.RemoveAll(dir)
	compile := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(dir, "init"), "./testdata/guest")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	compile.Stderr = os.Stderr
	if err := compile.Run(); err != nil {
		return drivers.Boot{}, err
	}
	return build(dir)
})

func build(dir string) (drivers.Boot, error) {
	images, err := store.Open(filepath.Join(cache(), "drivers"))
	if err != nil {
		return drivers.Boot{}, err
	}
	packages := apt.New(apt.Settings{Store: images, Now: time.Now})
	builder := &linuxkit.Builder{
		Project: os.DirFS(dir),
		Store:   images,
		Arch:    runtime.GOARCH,
		Components: map[string]sources.Components{
			"builtin": builtin.Components{
				Store: images,
				Init: func(string) (embedded.Program, error) {
					program, err := os.ReadFile(filepath.Join(dir, "init"))
					return embedded.Of(program), err
				},
				Kernel: packages.Kernel(guest.Modules()),
			},
		},
	}
	text := template + consoles[runtime.GOARCH] + "\n"
	if err := os.WriteFile(filepath.Join(dir, "guest.yml"), []byte(text), 0o600); err != nil {
		return drivers.Boot{}, err
	}
	img := spec.Image{Address: "template.guest", Template: &spec.Template{File: "guest.yml"}}
	ctx := context.Background()
	digest, err := builder.Resolve(ctx, img)
	if err != nil {
		return drivers.Boot{}, err
	}
	a, err := builder.Fetch(ctx, img, digest, func(sources.Progress) {})
	return drivers.Boot{Kernel: a.Kernel, Initrds: a.Initrds, Cmdline: a.Cmdline}, err
}

// cache is kept between runs; see the Makefile.
func cache() string {
	if dir := os.Getenv("LKUP_TEST_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "lkup-test")
}

func boot(t *testing.T) drivers.Boot {
	t.Helper()
	b, err := built()
	if err != nil {
		t.Fatalf("build the guest: %v", err)
	}
	return b
}
