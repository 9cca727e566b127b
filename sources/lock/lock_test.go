package lock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/lock"
	"github.com/lkup/lkup/sources/offline"
	"github.com/lkup/lkup/spec"
)

func digest(n int) sources.Digest {
	return sources.Digest("sha256:" + fmt.Sprintf("%064x", n))
}

// registry is a small remote place: tags that move, and what was fetched.
type registry struct {
	tags    map[string]sources.Digest
	fetched map[sources.Digest]bool
	down    bool
}

func (r *registry) resolve(ref string) (sources.Digest, error) {
	if r.down {
		return "", fmt.Errorf("ask for %s: %w", ref, sources.ErrOffline)
	}
	if d, ok := r.tags[ref]; ok {
		return d, nil
	}
	return "", errors.New("no such tag")
}

func (r *registry) fetch(d sources.Digest) error {
	if r.down && !r.fetched[d] {
		return sources.ErrOffline
	}
	r.fetched[d] = true
	return nil
}

func (r *registry) Stored(d sources.Digest) bool { return r.fetched[d] }

type remoteSource struct{ *registry }

func (r remoteSource) Resolve(_ context.Context, img spec.Image) (sources.Digest, error) {
	return r.resolve(img.Source)
}

func (r remoteSource) Fetch(_ context.Context, _ spec.Image, d sources.Digest, _ sources.Report) (sources.Artifact, error) {
	return sources.Artifact{Digest: d}, r.fetch(d)
}

type remoteComponents struct{ *registry }

func (r remoteComponents) Resolve(_ context.Context, ref, _ string) (sources.Digest, error) {
	return r.resolve(ref)
}

func (r remoteComponents) Image(_ context.Context, _, _ string, d sources.Digest, _ sources.Report) (v1.Image, error) {
	return empty.Image, r.fetch(d)
}

func newRegistry() *registry {
	return &registry{tags: map[string]sources.Digest{"oci:a:1": digest(1), "b:1": digest(2)}, fetched: map[sources.Digest]bool{}}
}

// resolveBoth resolves an image and a component through a book.
func resolveBoth(t *testing.T, r *registry, b *lock.Book) [2]sources.Digest {
	t.Helper()
	a, err := b.Source(remoteSource{r}, "amd64").Resolve(context.Background(), spec.Image{Source: "oci:a:1"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Components(remoteComponents{r}).Resolve(context.Background(), "b:1", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return [2]sources.Digest{a, c}
}

func TestATagThatMovedKeepsItsLockedDigestUntilUpgrade(t *testing.T) {
	r := newRegistry()
	book := lock.Open(lock.Pins{}, false)
	first := resolveBoth(t, r, book)
	file, err := lock.Pins{}.Merge(book.Fresh(false), false)
	if err != nil {
		t.Fatal(err)
	}
	r.tags["oci:a:1"], r.tags["b:1"] = digest(3), digest(4)

	book = lock.Open(file, false)
	if diff := cmp.Diff(first, resolveBoth(t, r, book)); diff != "" {
		t.Error(diff)
	}
	if news := book.Fresh(true); len(news) > 0 {
		t.Errorf("nothing is new, and yet: %v", news)
	}

	book = lock.Open(file, true)
	want := [2]sources.Digest{digest(3), digest(4)}
	if diff := cmp.Diff(want, resolveBoth(t, r, book)); diff != "" {
		t.Error(diff)
	}
	if news := book.Fresh(false); len(news) > 0 {
		t.Errorf("a plan would write: %v", news)
	}
	r.tags["oci:a:1"] = digest(5)
	if diff := cmp.Diff(want, resolveBoth(t, r, book)); diff != "" {
		t.Errorf("one run has one answer: %s", diff)
	}
	if file, err = file.Merge(book.Fresh(true), true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, resolveBoth(t, r, lock.Open(file, false))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatSaysItsDigestIsNotLocked(t *testing.T) {
	r := newRegistry()
	r.tags["oci:a@sha256:1"] = digest(1)
	book := lock.Open(lock.Pins{{Kind: "image", Ref: "oci:a:1", Arch: "amd64"}: digest(9)}, false)
	for _, img := range []spec.Image{{Source: "oci:a@sha256:1"}, {Source: "oci:a:1", SHA256: strings.Repeat("0", 64)}} {
		if d, err := book.Source(remoteSource{r}, "amd64").Resolve(context.Background(), img); err != nil || d != digest(1) {
			t.Errorf("%v: %s, %v", img, d, err)
		}
	}
	if news := book.Fresh(true); len(news) > 0 {
		t.Errorf("locked: %v", news)
	}
}

func TestTwoThatLockOneRefDifferentlyDoNotBothSucceed(t *testing.T) {
	key := lock.Key{Kind: "image", Ref: "oci:a:1", Arch: "amd64"}
	if _, err := (lock.Pins{key: digest(1)}).Merge(lock.Pins{key: digest(2)}, false); err == nil {
		t.Error("the second one overwrote the first")
	}
	if merged, err := (lock.Pins{key: digest(1)}).Merge(lock.Pins{key: digest(2)}, true); err != nil || merged[key] != digest(2) {
		t.Errorf("%v, %v", merged, err)
	}
}

func TestAnErrorOfALockedDigestNamesTheLockFile(t *testing.T) {
	r := newRegistry()
	r.down = true
	book := lock.Open(lock.Pins{{Kind: "component", Ref: "b:1", Arch: "amd64"}: digest(9)}, false)
	_, err := book.Components(remoteComponents{r}).Image(context.Background(), "b:1", "amd64", digest(9), nil)
	if err == nil || !strings.Contains(err.Error(), `lkup.lock.hcl locks "b:1"`) || !errors.Is(err, sources.ErrOffline) {
		t.Errorf("got %v", err)
	}
}

func TestALockFileReadsAsItWasWritten(t *testing.T) {
	pins := lock.Pins{
		{Kind: "component", Ref: "linuxkit/runc:v1", Arch: "arm64"}:         digest(1),
		{Kind: "component", Ref: "linuxkit/runc:v1", Arch: "amd64"}:         digest(2),
		{Kind: "image", Ref: `github:o/r@latest/"${x}".img`, Arch: "amd64"}: digest(3),
	}
	want := `# lkup writes this file: what the refs of this stack resolved to, when they
# first did. Commit it, and everybody gets the same images. Newer ones come
# with: lkup apply --upgrade

image "github:o/r@latest/\"$${x}\".img" {
  amd64 = "sha256:0000000000000000000000000000000000000000000000000000000000000003"
}

component "linuxkit/runc:v1" {
  amd64 = "sha256:0000000000000000000000000000000000000000000000000000000000000002"
  arm64 = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
}
`
	got := pins.Format()
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	read, _, diags := lock.Parse(got, lock.FileName)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if diff := cmp.Diff(pins, read); diff != "" {
		t.Error(diff)
	}
}

func TestAllMistakesOfALockFileAreFoundAtOnceWithRanges(t *testing.T) {
	content := `image "oci:a" {
  amd64   = "sha256:1"
  "what"  = 1
}
`
	if _, _, diags := lock.Parse([]byte(content), lock.FileName); !diags.HasErrors() {
		t.Error("no HCL, and no error")
	}
	content = `version = 1
image "oci:a" {
  amd64   = "sha256:1"
  x86_64  = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
  arm64   = var.x
  extra {}
}
image "oci:a" {}
image {}
template "x" {}
component "<<<<<<<" { amd64 = "sha256:0000000000000000000000000000000000000000000000000000000000000001" }
`
	_, _, diags := lock.Parse([]byte(content), lock.FileName)
	var got []string
	for _, d := range diags {
		got = append(got, fmt.Sprintf("%d:%d %s", d.Subject.Start.Line, d.Subject.Start.Column, d.Summary))
	}
	want := []string{
		"1:1 Unexpected argument",
		"6:3 Unexpected block",
		"3:13 Invalid digest",
		"5:13 Invalid digest",
		"4:3 Unknown architecture",
		"8:1 Locked twice",
		"9:1 Missing ref",
		"10:1 Unexpected block",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse is a law: whatever reads without a mistake is written and read
// again as the same.
func FuzzParse(f *testing.F) {
	f.Add(lock.Pins{{Kind: "image", Ref: "oci:a", Arch: "amd64"}: digest(1)}.Format())
	f.Add([]byte("image \"a\" {\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		pins, _, diags := lock.Parse(content, lock.FileName)
		if diags.HasErrors() {
			return
		}
		again, _, diags := lock.Parse(pins.Format(), lock.FileName)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if diff := cmp.Diff(pins, again); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOfflineNamesWhatIsMissingAndFetchesNothing(t *testing.T) {
	r := newRegistry()
	r.down = true
	book := lock.Open(lock.Pins{{Kind: "component", Ref: "b:1", Arch: "amd64"}: digest(2)}, false)
	ledger := &offline.Ledger{}
	images := ledger.Source(book.Source(remoteSource{r}, "amd64"))
	parts := ledger.Components(book.Components(remoteComponents{r}))
	ctx := context.Background()
	for range 2 {
		if _, err := images.Resolve(ctx, spec.Image{Source: "oci:a:1"}); !errors.Is(err, sources.ErrOffline) {
			t.Errorf("got %v", err)
		}
		if d, err := parts.Resolve(ctx, "b:1", "amd64"); err != nil || d != digest(2) {
			t.Errorf("got %s, %v", d, err)
		}
	}
	want := []offline.Missing{{Ref: "b:1", Why: "is not in the image store"}, {Ref: "oci:a:1", Why: "is not locked, and was not resolved here"}}
	if diff := cmp.Diff(want, ledger.Take()); diff != "" {
		t.Error(diff)
	}
	if _, err := parts.Image(ctx, "b:1", "amd64", digest(2), nil); !errors.Is(err, sources.ErrOffline) {
		t.Errorf("got %v", err)
	}
	r.fetched[digest(2)] = true
	if _, err := parts.Resolve(ctx, "b:1", "amd64"); err != nil {
		t.Error(err)
	}
	if _, err := parts.Image(ctx, "b:1", "amd64", digest(2), nil); err != nil {
		t.Error(err)
	}
	if missing := ledger.Take(); len(missing) > 0 {
		t.Errorf("nothing is missing, and yet: %v", missing)
	}
}
