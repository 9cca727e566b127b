package linuxkit_test

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/lkup/lkup/sources"
)

// manyArchs gives another image for each architecture.
type manyArchs map[string]shelf

func (m manyArchs) Resolve(ctx context.Context, ref, arch string) (sources.Digest, error) {
	s, ok := m[arch]
	if !ok {
		return "", fmt.Errorf("%s has no image for %s", ref, arch)
	}
	return s.Resolve(ctx, ref, arch)
}

func (m manyArchs) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	return m[arch].Image(ctx, ref, arch, d, report)
}

func TestAVolumeOfFormatOCIIsALayoutOfItsPlatforms(t *testing.T) {
	amd64, arm64 := newShelf(t), newShelf(t)
	for arch, shelf := range map[string]shelf{"amd64": amd64, "arm64": arm64} {
		app := image(t, v1.Config{Cmd: []string{"/" + arch}}, []entry{{name: "shared", content: "s"}}, []entry{{name: "x", content: arch}})
		config, err := app.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", arch
		if shelf.images["app"], err = mutate.ConfigFile(app, config); err != nil {
			t.Fatal(err)
		}
	}
	for platforms, want := range map[string]map[string]string{
		"":                                     {"amd64": "/amd64"},
		"platforms: [linux/arm64]":             {"arm64": "/arm64"},
		"platforms: [linux/arm64,linux/amd64]": {"amd64": "/amd64", "arm64": "/arm64"},
	} {
		t.Run(platforms, func(t *testing.T) {
			b := newBuilder(t, amd64, map[string]string{"t.yml": simple + "volumes: [{name: app, image: app, format: oci, " + platforms + "}]\n"})
			b.Components["oci"] = manyArchs{"amd64": amd64, "arm64": arm64}
			root := unpacked(t, build(t, b))
			dir := t.TempDir()
			for name, n := range root {
				inside, ok := strings.CutPrefix(name, "containers/volumes/app/lower/")
				if !ok || n.Mode&0o170000 != 0o100000 {
					continue
				}
				path := filepath.Join(dir, inside)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(n.Content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, commands(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// commands reads a layout, checks every blob, and gives each architecture's
// command.
func commands(t *testing.T, dir string) map[string]string {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	top, err := outer.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(top.Manifests) != 1 || top.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "docker.io/library/app" {
		t.Errorf("got %+v", top.Manifests)
	}
	index, err := outer.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	inner, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range inner.Manifests {
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		found[m.Platform.Architecture] = config.Config.Cmd[0]
	}
	return found
}

func TestAPlatformThatIsNotThereIsSaid(t *testing.T) {
	b := newBuilder(t, newShelf(t), map[string]string{"t.yml": simple + "volumes: [{name: app, image: web, format: oci, platforms: [linux/riscv64]}]\n"})
	b.Components["oci"] = manyArchs{"amd64": newShelf(t)}
	if _, err := tryBuild(b, templateImage(nil)); err == nil || !strings.Contains(err.Error(), "web has no image for riscv64") {
		t.Errorf("got %v", err)
	}
}

func TestWhatNoMachineCanStartIsATarAllTheSame(t *testing.T) {
	const text = "init: [init]\nservices: [{name: a, image: web}]\n"
	shelf := newShelf(t)
	_, err := tryBuild(newBuilder(t, shelf, map[string]string{"t.yml": text}), templateImage(nil))
	if err == nil || !strings.Contains(err.Error(), "kernel.image is missing: no machine can start") {
		t.Errorf("got %v", err)
	}
	b := newBuilder(t, shelf, map[string]string{"t.yml": text})
	b.Partial = true
	names := map[string]bool{}
	eachTarEntry(t, tarOfImage(t, b), func(h *tar.Header, _ string) { names[h.Name] = true })
	if !names["init"] || !names["containers/services/a/lower/bin/web"] || names["boot"] {
		t.Errorf("it has %v", names)
	}
	if _, err := tryBuild(b, templateImage(nil)); err == nil || !strings.Contains(err.Error(), "kernel.image is missing") {
		t.Errorf("got %v", err)
	}
}
