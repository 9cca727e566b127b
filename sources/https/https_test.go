package https_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/https"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

func newSource(t *testing.T) https.Source {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return https.Source{
		Client: download.New(download.Settings{Store: s, Idle: 20 * time.Second, Pause: time.Millisecond, MaxSize: 8 << 20}),
		Disks:  disk.Images{Store: s, Arch: "amd64"},
	}
}

func image(address string) spec.Image { return spec.Image{Address: "image.x", Source: address} }

func raw(fill byte) []byte {
	content := make([]byte, 300_000)
	content[0], content[250_000] = fill, fill
	return content
}

func packed(t *testing.T, content []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(content, nil)
}

func TestHTTPSPassesTheContract(t *testing.T) {
	for name, content := range map[string]func(*testing.T, byte) []byte{
		"a disk":        func(_ *testing.T, fill byte) []byte { return raw(fill) },
		"a packed disk": func(t *testing.T, fill byte) []byte { return packed(t, raw(fill)) },
	} {
		t.Run(name, func(t *testing.T) {
			var cdn *sourcetest.CDN
			sourcetest.Source(t, sourcetest.SourceCase{
				New: func(t *testing.T) (sources.Source, spec.Image) {
					cdn = sourcetest.NewCDN(t, false)
					return newSource(t), image(cdn.Put("/disk", content(t, 1)))
				},
				Change: func(t *testing.T) { cdn.Put("/disk", content(t, 2)) },
				Bad: map[string]spec.Image{
					"connection refused":      image("http://127.0.0.1:1/disk"),
					"write https://":          image("http://example.org/disk"),
					`"ftp" is no scheme that`: image("ftp://example.org/disk"),
				},
			})
		})
	}
}

func TestAChecksumThatTheUserWroteIsResolvedWithoutTheServer(t *testing.T) {
	cdn, source := sourcetest.NewCDN(t, false), newSource(t)
	img := image(cdn.Put("/disk", packed(t, raw(1))))
	img.SHA256 = fmt.Sprintf("%x", sha256.Sum256(packed(t, raw(1)))) // of the file as it is downloaded
	ctx := context.Background()
	d, err := source.Resolve(ctx, img)
	if err != nil || d.Hex() != img.SHA256 || len(cdn.Seen("")) > 0 || source.Stored(d) {
		t.Fatalf("resolved to %s, %v, after %d requests", d, err, len(cdn.Seen("")))
	}
	artifact, err := source.Fetch(ctx, img, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(artifact.Disk); err != nil || !bytes.Equal(got, raw(1)) || artifact.DiskFormat != "raw" || !source.Stored(d) {
		t.Errorf("another disk came: %d bytes, %s, %v", len(got), artifact.DiskFormat, err)
	}
	// It needs no server any more.
	cdn.Close()
	if again, err := source.Fetch(ctx, img, d, nil); err != nil || again.Disk != artifact.Disk {
		t.Errorf("got %v, %v", again, err)
	}
}

func TestAnotherChecksumThanTheUsersLeavesNothing(t *testing.T) {
	cdn, source := sourcetest.NewCDN(t, false), newSource(t)
	img := image(cdn.Put("/disk", raw(1)))
	img.SHA256 = strings.Repeat("0", 64)
	_, err := source.Fetch(context.Background(), img, sources.Digest("sha256:"+img.SHA256), nil)
	if err == nil || !strings.Contains(err.Error(), "not "+img.SHA256) || strings.Contains(err.Error(), "changed on the server") {
		t.Errorf("got %v", err)
	}
	for _, folder := range []string{"blobs/sha256", "built", "tmp", store.Downloads} {
		if left, _ := filepath.Glob(filepath.Join(source.Disks.Store.Dir(folder), "*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestADiskIsDownloadedOnceAndAskedForAfterwards(t *testing.T) {
	cdn, source := sourcetest.NewCDN(t, false), newSource(t)
	img := image(cdn.Put("/disk", raw(1)))
	for range 3 {
		if _, err := source.Resolve(context.Background(), img); err != nil {
			t.Fatal(err)
		}
	}
	var conditions []string
	for _, r := range cdn.Seen("/disk") {
		conditions = append(conditions, r.Header.Get("If-None-Match"))
	}
	if len(conditions) != 3 || conditions[0] != "" || conditions[1] == "" || conditions[2] == "" {
		t.Errorf("asked with %q", conditions)
	}
}

func TestWhatIsNoDiskIsToldWhenItIsResolved(t *testing.T) {
	cdn, source := sourcetest.NewCDN(t, false), newSource(t)
	page := cdn.Put("/login", []byte("<!DOCTYPE html>"+strings.Repeat(" ", 1000)))
	if d, err := source.Resolve(context.Background(), image(page)); err == nil || !strings.Contains(err.Error(), "it is a web page") {
		t.Errorf("got %s, %v", d, err)
	}
}

func TestAChangeBetweenPlanAndApplyIsTold(t *testing.T) {
	cdn, source := sourcetest.NewCDN(t, false), newSource(t)
	img := image(cdn.Put("/disk", raw(1)))
	planned := sources.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(raw(2))))
	if _, err := source.Fetch(context.Background(), img, planned, nil); err == nil || !strings.Contains(err.Error(), "changed on the server since it was pinned") {
		t.Errorf("got %v", err)
	}
}

func TestAServerWithoutValidatorsIsReadEachTime(t *testing.T) {
	cdn, source := sourcetest.NewCDN(t, false), newSource(t)
	content := raw(1)
	img := image(cdn.Handle("/disk", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }))
	first, err := source.Resolve(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	content = raw(2)
	if second, err := source.Resolve(context.Background(), img); err != nil || second == first {
		t.Errorf("a change was not seen: %s, %v", second, err)
	}
}
