package github_test

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

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/github"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

func noon() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

func newSource(t *testing.T, server *sourcetest.GitHub) github.Source {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return github.Source{
		Client: download.New(download.Settings{Store: s, Idle: 20 * time.Second, Pause: time.Millisecond, MaxSize: 8 << 20}),
		Disks:  disk.Images{Store: s, Arch: "amd64"},
		API:    server.URL + "/",
		Now:    noon,
	}
}

func image(ref string) spec.Image {
	return spec.Image{Address: "image.x", Source: "github:" + ref}
}

func raw(fill byte) []byte {
	content := make([]byte, 300_000)
	content[0], content[250_000] = fill, fill
	return content
}

func sum(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

func TestGitHubPassesTheContract(t *testing.T) {
	for name, digests := range map[string]bool{"the API tells digests": true, "nobody tells digests": false} {
		t.Run(name, func(t *testing.T) {
			var server *sourcetest.GitHub
			sourcetest.Source(t, sourcetest.SourceCase{
				New: func(t *testing.T) (sources.Source, spec.Image) {
					server = sourcetest.NewGitHub(t)
					if digests {
						server.Digests()
					}
					server.Release("v1.0", map[string][]byte{"disk.img": raw(1), "notes.txt": []byte("x")})
					server.Release("v2.0-rc1", map[string][]byte{"disk.img": raw(3)})
					return newSource(t, server), image("lkup/images/*.img")
				},
				Change: func(*testing.T) { server.Release("v1.1", map[string][]byte{"disk.img": raw(2)}) },
				Bad: map[string]spec.Image{
					"write github:OWNER/REPO@TAG/ASSET": image("lkup"),
					"is no tag":                         image("lkup/images@../x"),
					"close its brackets":                image("lkup/images/[a"),
					"no asset of release v1.0 of lkup/images matches \"*.qcow2\"; it has": image("lkup/images@v1.0/*.qcow2"),
					"2 assets of release v1.0 of lkup/images match":                       image("lkup/images@v1.0/*"),
					"has no release v9; the newest are v2.0-rc1, v1.0":                    image("lkup/images@v9/disk.img"),
					"GitHub shows no repository lkup/other":                               image("lkup/other/disk.img"),
				},
			})
		})
	}
}

func resolve(t *testing.T, source github.Source, img spec.Image) sources.Digest {
	t.Helper()
	d, err := source.Resolve(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fetch demands that an image gives a disk.
func fetch(t *testing.T, source github.Source, img spec.Image, want []byte) {
	t.Helper()
	artifact, err := source.Fetch(context.Background(), img, resolve(t, source, img), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(artifact.Disk); err != nil || !bytes.Equal(got, want) {
		t.Errorf("another disk came: %d bytes, %v", len(got), err)
	}
}

func refuse(t *testing.T, source github.Source, img spec.Image, want string) {
	t.Helper()
	d, err := source.Resolve(context.Background(), img)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("want an error with %q, got %s, %v", want, d, err)
	}
}

func TestADigestThatIsToldNeedsNoDownload(t *testing.T) {
	for name, beside := range map[string]map[string][]byte{
		"by a file of its own":      {"disk.img.sha256": []byte(sum(raw(1)) + "\n")},
		"by a file with its name":   {"disk.img.sha256": []byte(sum(raw(1)) + "  ./disk.img\n")},
		"by a list":                 {"SHA256SUMS": []byte(sum(raw(2)) + "  other.img\n" + sum(raw(1)) + " *disk.img\n")},
		"by a list in capitals":     {"checksums.txt": []byte(strings.ToUpper(sum(raw(1))) + "  disk.img\r\n")},
		"by a list of BSD's":        {"lkup_1.0_checksums.txt": []byte("SHA256 (disk.img) = " + sum(raw(1)) + "\n")},
		"by two that agree":         {"SHA256SUMS": []byte(sum(raw(1)) + "  disk.img\n"), "disk.img.sha256": []byte(sum(raw(1)))},
		"by one of two lists":       {"SHA256SUMS": []byte(sum(raw(1)) + "  disk.img\n"), "checksums.txt": []byte("nothing of use\n")},
		"by a list of other things": {"SHA256SUMS": []byte(sum(raw(1)) + "  not-disk.img\n" + sum(raw(1)) + "  disk.img\n")},
	} {
		t.Run(name, func(t *testing.T) {
			server := sourcetest.NewGitHub(t)
			server.Release("v1", map[string][]byte{"disk.img": raw(1)})
			server.Release("v1", beside)
			source := newSource(t, server)
			if got := resolve(t, source, image("lkup/images@v1/disk.img")); got.Hex() != sum(raw(1)) {
				t.Errorf("resolved to %s", got)
			}
			if n := len(server.Storage.Seen("/bucket/2")); n > 0 { // the first asset; 1 is the release
				t.Error("the disk was downloaded to know its digest")
			}
			before := len(server.Storage.Seen(""))
			resolve(t, source, image("lkup/images@v1/disk.img"))
			if len(server.Storage.Seen("")) != before {
				t.Error("the checksums were downloaded again, though they did not change")
			}
			fetch(t, source, image("lkup/images@v1/disk.img"), raw(1))
		})
	}
}

func TestAChecksumBesideThatDoesNotHoldIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		beside  map[string][]byte
		digests bool
		want    string
	}{
		"two files disagree":        {map[string][]byte{"SHA256SUMS": []byte(sum(raw(1)) + "  disk.img\n"), "disk.img.sha256": []byte(sum(raw(2)))}, false, "one of them is not what its makers meant"},
		"the API and a file":        {map[string][]byte{"SHA256SUMS": []byte(sum(raw(2)) + "  disk.img\n")}, true, "GitHub's own digest of disk.img is " + sum(raw(1))},
		"its own file without one":  {map[string][]byte{"disk.img.sha256": []byte("hello")}, false, "holds no SHA-256"},
		"its own file is no text":   {map[string][]byte{"disk.img.sha256": {0, 1, 2}}, false, "it is no text"},
		"its own file is too large": {map[string][]byte{"disk.img.sha256": make([]byte, 2<<20)}, false, "no list of checksums"},
	} {
		t.Run(name, func(t *testing.T) {
			server := sourcetest.NewGitHub(t)
			if c.digests {
				server.Digests()
			}
			server.Release("v1", map[string][]byte{"disk.img": raw(1)})
			server.Release("v1", c.beside)
			refuse(t, newSource(t, server), image("lkup/images@v1/disk.img"), c.want)
		})
	}
	// A list that is consistent, and wrong: what comes is another disk.
	server := sourcetest.NewGitHub(t)
	server.Release("v1", map[string][]byte{"disk.img": raw(1), "SHA256SUMS": []byte(sum(raw(2)) + "  disk.img\n")})
	source, img := newSource(t, server), image("lkup/images@v1/disk.img")
	d := resolve(t, source, img)
	if _, err := source.Fetch(context.Background(), img, d, nil); err == nil || !strings.Contains(err.Error(), "not "+sum(raw(2))) {
		t.Errorf("got %v", err)
	}
	if source.Stored(d) || source.Stored(sources.Digest("sha256:"+sum(raw(1)))) {
		t.Error("a disk of another digest was kept")
	}
}

func TestAllPagesOfAssetsAreRead(t *testing.T) {
	server := sourcetest.NewGitHub(t)
	many := map[string][]byte{}
	for i := range 250 {
		many[fmt.Sprintf("part-%03d.txt", i)] = []byte("x")
	}
	server.Release("v1", many)
	server.Release("v1", map[string][]byte{"disk.img": raw(1)})
	fetch(t, newSource(t, server), image("lkup/images@v1/disk.*"), raw(1))
	if n := len(server.Seen("/repos/lkup/images/releases/1/assets")); n != 3 {
		t.Errorf("%d pages were read, want 3", n)
	}
}

func TestATagMayHaveSlashes(t *testing.T) {
	server := sourcetest.NewGitHub(t)
	server.Release("images/v1", map[string][]byte{"disk.img": raw(1)})
	fetch(t, newSource(t, server), image("lkup/images@images/v1/disk.img"), raw(1))
}

func TestAPrivateRepositoryNeedsItsToken(t *testing.T) {
	server := sourcetest.NewGitHub(t)
	server.Release("v1", map[string][]byte{"disk.img": raw(1), "SHA256SUMS": []byte(sum(raw(1)) + "  disk.img\n")})
	server.Hide("hunter2")
	source, img := newSource(t, server), image("lkup/images@v1/disk.img")
	refuse(t, source, img, "set GITHUB_TOKEN to a token that may read it")
	source.Token, source.TokenFrom = "wrong", "GH_TOKEN"
	refuse(t, source, img, "does not take the token in GH_TOKEN")
	source.Token = "hunter2"
	refuse(t, source, image("lkup/other@v1/disk.img"), "no repository lkup/other to the token in GH_TOKEN")
	fetch(t, source, img, raw(1))
	if n := len(server.Storage.Seen("")); n == 0 {
		t.Fatal("nothing came from the storage host")
	}
	for _, r := range server.Storage.Seen("") {
		if auth := r.Header.Get("Authorization"); auth != "" {
			t.Errorf("the storage host was sent %q", auth)
		}
	}
}

// A release says itself where its assets lie; the token does not go there.
func TestATokenGoesToTheAPIAlone(t *testing.T) {
	server, thief := sourcetest.NewGitHub(t), sourcetest.NewCDN(t, false)
	thief.Put("/disk", raw(1))
	thief.Put("/page", []byte("[]"))
	for name, body := range map[string]string{
		"an asset elsewhere": `{"id":1,"tag_name":"v1","assets":[{"id":1,"name":"disk.img","size":300000,"url":"` + thief.URL + `/disk","browser_download_url":"` + thief.URL + `/disk"}]}`,
		"a page elsewhere":   `{"id":1,"tag_name":"v1","assets":[` + strings.Repeat(`{"name":"x"},`, 30) + `{"name":"y"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/assets") {
					w.Header().Set("Link", "<"+thief.URL+`/page>; rel="next"`)
					body = "[]"
				}
				_, _ = w.Write([]byte(body))
			})
			source := newSource(t, server)
			source.Token = "hunter2"
			_, _ = source.Resolve(context.Background(), image("lkup/images@v1/disk.img"))
			for _, r := range thief.Seen("") {
				if r.URL.Path == "/page" || r.Header.Get("Authorization") != "" {
					t.Errorf("%s was asked with %q", r.URL, r.Header.Get("Authorization"))
				}
			}
		})
	}
}

func TestARateLimitSaysWhenItEnds(t *testing.T) {
	server := sourcetest.NewGitHub(t)
	server.Release("v1", map[string][]byte{"disk.img": raw(1)})
	source, img := newSource(t, server), image("lkup/images@v1/disk.img")
	server.Limit(0, noon().Add(12*time.Minute+10*time.Second))
	refuse(t, source, img, "GitHub's limit of 60 requests is used up until 12:12:10 UTC, in 12m10s; with a token in GITHUB_TOKEN the limit is higher")
	if n := len(server.Seen("")); n != 1 {
		t.Errorf("it was asked %d times in spite of the limit", n)
	}
	server.Limit(5, noon())
	fetch(t, source, img, raw(1))

	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"message":"You have exceeded a secondary rate limit."}`))
	})
	refuse(t, source, image("lkup/images@v1/other.img"), "until 12:01:30 UTC, in 1m30s")

	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"message":"Resource protected by organization SAML enforcement."}`))
	})
	refuse(t, source, img, "403 Forbidden: Resource protected by organization SAML enforcement.")

	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	refuse(t, source, img, "does not speak GitHub's API")
}

func TestAChecksumThatTheUserWroteIsResolvedWithoutGitHub(t *testing.T) {
	server := sourcetest.NewGitHub(t)
	server.Release("v1", map[string][]byte{"disk.img": raw(1)})
	source, img := newSource(t, server), image("lkup/images@v1/disk.img")
	img.SHA256 = sum(raw(1))
	if d := resolve(t, source, img); d.Hex() != img.SHA256 || len(server.Seen("")) > 0 {
		t.Errorf("resolved to %s, after %d requests", d, len(server.Seen("")))
	}
	fetch(t, source, img, raw(1))
	img.SHA256 = sum(raw(9))
	if _, err := source.Fetch(context.Background(), img, resolve(t, source, img), nil); err == nil {
		t.Error("a disk of another digest came")
	}
}

func TestAReleaseWithoutALatestIsExplained(t *testing.T) {
	server := sourcetest.NewGitHub(t)
	source := newSource(t, server)
	refuse(t, source, image("lkup/images/disk.img"), "drafts and pre-releases do not; name a tag: github:lkup/images@TAG/disk.img")
	refuse(t, source, image("lkup/images@v1/disk.img"), "has no release v1, nor any other")
}
