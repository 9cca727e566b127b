package dockerarchive_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	"github.com/lkup/lkup/sources/dockerarchive"
	"github.com/lkup/lkup/sources/store"
)

// FuzzArchive: whatever the file holds, it is refused, or its layers are what
// its configuration says; nothing is left behind.
func FuzzArchive(f *testing.F) {
	manifest, config, layer := parts(f)
	f.Add(tarOf(f, file{name: "manifest.json", content: manifest}, file{name: "config.json", content: config}, file{name: "a/layer.tar", content: string(layer)}))
	f.Add(tarOf(f, file{name: "manifest.json", link: "../../etc/passwd", kind: tar.TypeSymlink}))
	f.Add([]byte("no tar"))
	dir := f.TempDir()
	images, err := store.Open(filepath.Join(dir, "store"))
	if err != nil {
		f.Fatal(err)
	}
	components := dockerarchive.Components{Store: images, Dir: dir}
	f.Fuzz(func(t *testing.T, content []byte) {
		write(t, filepath.Join(dir, "x.tar"), content)
		d, err := components.Resolve(t.Context(), "docker-archive:x.tar", "amd64")
		if err != nil {
			return
		}
		if _, err := components.Image(t.Context(), "docker-archive:x.tar", "amd64", d, nil); err == nil && !d.Valid() {
			t.Errorf("an image with the digest %q", d)
		}
		if left, err := os.ReadDir(images.Dir("tmp")); err != nil || len(left) > 0 {
			t.Errorf("left in tmp: %v, %v", left, err)
		}
	})
}
