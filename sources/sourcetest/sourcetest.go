// Package sourcetest is what every source must pass: the contracts of package
// sources, as tests. An implementation calls [Source] or [Components] from a
// test of its own.
package sourcetest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// SourceCase is a source under test.
type SourceCase struct {
	// New makes a source with an empty store, and an image that it has.
	New func(t *testing.T) (sources.Source, spec.Image)
	// Change alters what the image of the latest New is made of.
	Change func(t *testing.T)
	// Bad are images that do not resolve, with a part of the error.
	Bad map[string]spec.Image
}

// Source runs the contract of [sources.Source].
func Source(t *testing.T, c SourceCase) {
	t.Run("resolving again gives the same digest", func(t *testing.T) {
		source, img := c.New(t)
		first, second := resolve(t, source, img), resolve(t, source, img)
		if first != second || !first.Valid() {
			t.Errorf("resolved to %q, then to %q", first, second)
		}
	})
	t.Run("an artifact is whole and read-only", func(t *testing.T) {
		source, img := c.New(t)
		d := resolve(t, source, img)
		checkArtifact(t, fetch(t, source, img, d), d)
	})
	t.Run("what was fetched is stored", func(t *testing.T) {
		source, img := c.New(t)
		storer, ok := source.(sources.Storer)
		if !ok {
			return
		}
		d := resolve(t, source, img)
		fetch(t, source, img, d)
		checkStored(t, storer, d)
	})
	t.Run("many may fetch at once", func(t *testing.T) {
		source, img := c.New(t)
		d := resolve(t, source, img)
		artifacts := together(4, func() (sources.Artifact, error) {
			return source.Fetch(context.Background(), img, d, func(sources.Progress) {})
		})
		for _, got := range artifacts {
			if got.err != nil {
				t.Fatal(got.err)
			}
			if diff := cmp.Diff(artifacts[0].value, got.value); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("another digest is refused", func(t *testing.T) {
		source, img := c.New(t)
		resolve(t, source, img)
		other := sources.Digest("sha256:" + strings.Repeat("0", 64))
		if artifact, err := source.Fetch(context.Background(), img, other, nil); err == nil {
			t.Errorf("got %+v", artifact)
		}
	})
	t.Run("a change gives another digest and leaves the artifact alone", func(t *testing.T) {
		source, img := c.New(t)
		before := resolve(t, source, img)
		artifact := fetch(t, source, img, before)
		content := contentOf(t, artifact)
		c.Change(t)
		if after := resolve(t, source, img); after == before {
			t.Error("the digest is the same after a change")
		}
		if diff := cmp.Diff(artifact, fetch(t, source, img, before)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(content, contentOf(t, artifact)); diff != "" {
			t.Error(diff)
		}
	})
	for want, img := range c.Bad {
		t.Run("refuses "+want, func(t *testing.T) {
			source, _ := c.New(t)
			_, err := source.Resolve(context.Background(), img)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want an error with %q, got %v", want, err)
			}
		})
	}
}

// checkStored is the contract of [sources.Storer], after d was fetched.
func checkStored(t *testing.T, storer sources.Storer, d sources.Digest) {
	t.Helper()
	if !storer.Stored(d) {
		t.Errorf("%s was fetched and is not stored", d)
	}
	for _, other := range []sources.Digest{"", "sha256:..", sources.Digest("sha256:" + strings.Repeat("0", 64))} {
		if storer.Stored(other) {
			t.Errorf("%q is stored", other)
		}
	}
}

func resolve(t *testing.T, source sources.Source, img spec.Image) sources.Digest {
	t.Helper()
	d, err := source.Resolve(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func fetch(t *testing.T, source sources.Source, img spec.Image, d sources.Digest) sources.Artifact {
	t.Helper()
	artifact, err := source.Fetch(context.Background(), img, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return artifact
}

func filesOf(a sources.Artifact) []string {
	if a.Disk != "" {
		return []string{a.Disk}
	}
	return append([]string{a.Kernel}, a.Initrds...)
}

func checkArtifact(t *testing.T, a sources.Artifact, d sources.Digest) {
	t.Helper()
	if a.Digest != d || a.Arch == "" {
		t.Errorf("digest %s, architecture %q of an artifact fetched as %s", a.Digest, a.Arch, d)
	}
	if (a.Disk == "") == (a.Kernel == "") || (a.Disk == "") != (a.DiskFormat == "") {
		t.Errorf("not one of kernel and disk with its format: %+v", a)
	}
	for _, file := range filesOf(a) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o222 != 0 || info.Size() == 0 {
			t.Errorf("%s has mode %v and %d bytes", file, info.Mode(), info.Size())
		}
	}
}

// contentOf is a digest of each file.
func contentOf(t *testing.T, a sources.Artifact) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, file := range filesOf(a) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sums[file] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return sums
}

// ComponentsCase is a source of components under test.
type ComponentsCase struct {
	New  func(t *testing.T) sources.Components
	Ref  string
	Arch string
	// Files are some that the component must have.
	Files []string
	// Bad are refs that do not resolve, each with a part of the error.
	Bad map[string]string
}

// Components runs the contract of [sources.Components].
func Components(t *testing.T, c ComponentsCase) {
	ctx := context.Background()
	t.Run("resolving again gives the same digest", func(t *testing.T) {
		components := c.New(t)
		first, err := components.Resolve(ctx, c.Ref, c.Arch)
		if err != nil {
			t.Fatal(err)
		}
		second, err := components.Resolve(ctx, c.Ref, c.Arch)
		if err != nil || first != second || !first.Valid() {
			t.Errorf("resolved to %q, then to %q, %v", first, second, err)
		}
	})
	t.Run("an image can be had by many at once, and read again and again", func(t *testing.T) {
		components := c.New(t)
		d, err := components.Resolve(ctx, c.Ref, c.Arch)
		if err != nil {
			t.Fatal(err)
		}
		images := together(3, func() (v1.Image, error) {
			return components.Image(ctx, c.Ref, c.Arch, d, func(sources.Progress) {})
		})
		for _, image := range images {
			if image.err != nil {
				t.Fatal(image.err)
			}
			checkImage(t, image.value, c)
			checkImage(t, image.value, c)
		}
		if storer, ok := components.(sources.Storer); ok {
			checkStored(t, storer, d)
		}
	})
	t.Run("another digest is refused", func(t *testing.T) {
		components := c.New(t)
		if _, err := components.Resolve(ctx, c.Ref, c.Arch); err != nil {
			t.Fatal(err)
		}
		other := sources.Digest("sha256:" + strings.Repeat("0", 64))
		if _, err := components.Image(ctx, c.Ref, c.Arch, other, nil); err == nil {
			t.Error("got an image")
		}
	})
	for ref, want := range c.Bad {
		t.Run("refuses "+ref, func(t *testing.T) {
			_, err := c.New(t).Resolve(ctx, ref, c.Arch)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want an error with %q, got %v", want, err)
			}
		})
	}
}

func checkImage(t *testing.T, image v1.Image, c ComponentsCase) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != c.Arch || config.OS != "linux" {
		t.Errorf("an image for %s/%s", config.OS, config.Architecture)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, file := range c.Files {
		missing[file] = true
	}
	for i, layer := range layers {
		for _, name := range layerNames(t, layer, config.RootFS.DiffIDs[i]) {
			delete(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("missing: %v", missing)
	}
}

// layerNames reads a layer and checks that it is what its digest says.
func layerNames(t *testing.T, layer v1.Layer, want v1.Hash) []string {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }()
	hash := sha256.New()
	stream := io.TeeReader(content, hash)
	var names []string
	entries := tar.NewReader(stream)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, path.Clean(header.Name))
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)); got != want.Hex {
		t.Errorf("the layer has digest %s, its image says %s", got, want.Hex)
	}
	return names
}

// outcome is what one of several calls gave.
type outcome[T any] struct {
	value T
	err   error
}

// together calls do n times at once.
func together[T any](n int, do func() (T, error)) []outcome[T] {
	outcomes := make([]outcome[T], n)
	var group sync.WaitGroup
	for i := range outcomes {
		group.Go(func() { outcomes[i].value, outcomes[i].err = do() })
	}
	group.Wait()
	return outcomes
}
