package file_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/file"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// write makes a file of the project whose time lies in the past, so that its
// digest is remembered.
func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
}

func newSource(t *testing.T, dir string) file.Source {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return file.Source{Store: s, Dir: dir, Arch: "amd64"}
}

func disk(ref string) spec.Image { return spec.Image{Address: "image.x", Source: ref} }

func raw(fill byte) []byte {
	content := make([]byte, 300_000)
	content[0], content[250_000] = fill, fill
	return content
}

func TestADiskPassesTheContract(t *testing.T) {
	var path string
	sourcetest.Source(t, sourcetest.SourceCase{
		New: func(t *testing.T) (sources.Source, spec.Image) {
			dir := t.TempDir()
			path = filepath.Join(dir, "disk.img")
			write(t, path, raw(1))
			return newSource(t, dir), disk("file:disk.img")
		},
		Change: func(t *testing.T) {
			if err := os.WriteFile(path, raw(2), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Bad: map[string]spec.Image{
			"there is no":       disk("file:nowhere.img"),
			"write file:":       disk("disk.img"),
			"as its block says": {Address: "image.x", Source: "file:disk.img", SHA256: strings.Repeat("0", 64)},
		},
	})
}

func TestAKernelWithItsInitrdPassesTheContract(t *testing.T) {
	var dir string
	sourcetest.Source(t, sourcetest.SourceCase{
		New: func(t *testing.T) (sources.Source, spec.Image) {
			dir = t.TempDir()
			write(t, filepath.Join(dir, "web-kernel"), []byte("kernel"))
			write(t, filepath.Join(dir, "web-initrd.img"), []byte("initrd"))
			write(t, filepath.Join(dir, "web-cmdline"), []byte("console=ttyS0\n"))
			return newSource(t, dir), disk("file:web")
		},
		Change: func(t *testing.T) { write(t, filepath.Join(dir, "web-cmdline"), []byte("quiet")) },
		Bad:    map[string]spec.Image{"other-kernel": disk("file:other")},
	})
}

func TestACommandLineIsTrimmed(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"k-kernel": "k", "k-initrd.img": "i", "k-cmdline": "a b\n"} {
		write(t, filepath.Join(dir, name), []byte(content))
	}
	source, ctx := newSource(t, dir), context.Background()
	d, err := source.Resolve(ctx, disk("file:k"))
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := source.Fetch(ctx, disk("file:k"), d, nil)
	if err != nil || artifact.Cmdline != "a b" {
		t.Errorf("got %q, %v", artifact.Cmdline, err)
	}
}

// A file rewritten within the granularity of its time stamp looks unchanged.
func TestAFileWrittenJustNowIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.img")
	source, ctx := newSource(t, dir), context.Background()
	now := time.Now()
	var digests []sources.Digest
	for fill := range byte(2) {
		if err := os.WriteFile(path, raw(fill), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
		d, err := source.Resolve(ctx, disk("file:disk.img"))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	if digests[0] == digests[1] {
		t.Error("the second content has the digest of the first")
	}
}

func TestDiskHeaders(t *testing.T) {
	var gzipped bytes.Buffer
	w := gzip.NewWriter(&gzipped)
	if _, err := w.Write(raw(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	backed := make([]byte, 1024)
	copy(backed, "QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x02\x00")
	for _, c := range []struct {
		name    string
		content []byte
		err     string
	}{
		{"raw", raw(1), ""},
		{"packed", gzipped.Bytes(), ""},
		{"backing file", backed, "image.x: disk: it has a backing file"},
		{"a text", []byte("hello"), "too short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "disk"), c.content)
			source, ctx := newSource(t, dir), context.Background()
			d, err := source.Resolve(ctx, disk("file:disk"))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("want an error with %q, got %v", c.err, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			artifact, err := source.Fetch(ctx, disk("file:disk"), d, nil)
			if err != nil || artifact.DiskFormat != "raw" {
				t.Fatalf("got %q, %v", artifact.DiskFormat, err)
			}
			got, err := os.ReadFile(artifact.Disk)
			if err != nil || !bytes.Equal(got, raw(1)) {
				t.Errorf("another disk was fetched: %v", err)
			}
		})
	}
}
