package lock

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Book is a lock file during one run. It is safe for concurrent use.
type Book struct {
	upgrade bool

	mu    sync.Mutex
	file  Pins // as read
	fresh Pins // resolved in this run
}

// Open begins a run with what the file says. With upgrade, everything is
// resolved again, once.
func Open(file Pins, upgrade bool) *Book {
	return &Book{file: file, upgrade: upgrade, fresh: Pins{}}
}

// Source puts the lock before a source, for guests of arch. An image whose
// stack file says its checksum, and a ref that is a digest itself, need none.
func (b *Book) Source(inner sources.Source, arch string) sources.Source {
	return source{inner, b, arch}
}

// Components puts the lock before components.
func (b *Book) Components(inner sources.Components) sources.Components {
	return components{inner, b}
}

// Fresh is what was resolved in this run and not locked before; with replace,
// also what was locked to another digest.
func (b *Book) Fresh(replace bool) Pins {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := Pins{}
	for key, d := range b.fresh {
		if locked, was := b.file[key]; !was || replace && locked != d {
			news[key] = d
		}
	}
	return news
}

// Set resolves a key by hand.
func (b *Book) Set(key Key, d sources.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fresh[key] = d
}

// Upgrade reports whether digests in the file may be replaced.
func (b *Book) Upgrade() bool { return b.upgrade }

// Merge adds news to what the file says by now. Without replace, a digest
// that somebody else has locked meanwhile, and that is another, is an error.
func (p Pins) Merge(news Pins, replace bool) (Pins, error) {
	merged := maps.Clone(p)
	for _, key := range slices.SortedFunc(maps.Keys(news), compare) {
		if d, locked := p[key]; locked && d != news[key] && !replace {
			return nil, fmt.Errorf("%s %q was locked to %s by another lkup, while it resolved to %s here; run the command again", key.Kind, key.Ref, d, news[key])
		}
		merged[key] = news[key]
	}
	return merged, nil
}

// resolve is what a key is locked to, or was in this run, or resolves to now.
func (b *Book) resolve(key Key, resolve func() (sources.Digest, error)) (sources.Digest, error) {
	b.mu.Lock()
	d, known := b.fresh[key]
	if !known && !b.upgrade {
		d, known = b.file[key]
	}
	b.mu.Unlock()
	if known {
		return d, nil
	}
	d, err := resolve()
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if first, known := b.fresh[key]; known {
		return first, nil // another goroutine was faster, and is believed by all
	}
	b.fresh[key] = d
	return d, nil
}

// pinned reports whether a ref is its own lock.
func pinned(ref string) bool { return strings.Contains(ref, "@sha256:") }

type source struct {
	sources.Source
	book *Book
	arch string
}

func (s source) Resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	if img.SHA256 != "" || pinned(img.Source) {
		return s.Source.Resolve(ctx, img)
	}
	return s.book.resolve(Key{image, img.Source, s.arch}, func() (sources.Digest, error) {
		return s.Source.Resolve(ctx, img)
	})
}

// Locked implements [sources.Locker].
func (s source) Locked(img spec.Image) (locked, lockable bool) {
	if img.SHA256 != "" || pinned(img.Source) {
		return false, false
	}
	key := Key{image, img.Source, s.arch}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	_, fresh := s.book.fresh[key]
	_, file := s.book.file[key]
	return fresh || file && !s.book.upgrade, true
}

// Stored is inner's.
func (s source) Stored(d sources.Digest) bool { return stored(s.Source, d) }

type components struct {
	sources.Components
	book *Book
}

func (c components) Resolve(ctx context.Context, ref, arch string) (sources.Digest, error) {
	if pinned(ref) {
		return c.Components.Resolve(ctx, ref, arch)
	}
	return c.book.resolve(Key{component, ref, arch}, func() (sources.Digest, error) {
		return c.Components.Resolve(ctx, ref, arch)
	})
}

// Image says where the digest comes from, if it cannot be had.
func (c components) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	img, err := c.Components.Image(ctx, ref, arch, d, report)
	return img, c.book.explain(Key{component, ref, arch}, d, err)
}

// Fetch says where the digest comes from, if it cannot be had.
func (s source) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	artifact, err := s.Source.Fetch(ctx, img, d, report)
	return artifact, s.book.explain(Key{image, img.Source, s.arch}, d, err)
}

func (b *Book) explain(key Key, d sources.Digest, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil || b.file[key] != d {
		return err
	}
	return fmt.Errorf("%w\n%s locks %q to %s; if that is no longer to be had, take what there is now with --upgrade", err, FileName, key.Ref, d)
}

// Stored is inner's.
func (c components) Stored(d sources.Digest) bool { return stored(c.Components, d) }

// stored is the answer of one that may not know; what reads local files has
// everything here.
func stored(inner any, d sources.Digest) bool {
	storer, ok := inner.(sources.Storer)
	return !ok || storer.Stored(d)
}
