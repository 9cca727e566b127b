// Package offline keeps sources and components off the network, and gathers
// what is missing for it, so that a plan names all of it at once and nothing
// fails midway.
package offline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Missing is one thing that is not here.
type Missing struct {
	Ref string
	Why string
}

// Ledger gathers what is missing. It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	missing []Missing
}

// Take gives what was gathered since the last Take, each ref once, sorted.
func (l *Ledger) Take() []Missing {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.missing
	l.missing = nil
	slices.SortFunc(all, func(a, b Missing) int { return strings.Compare(a.Ref, b.Ref) })
	return slices.CompactFunc(all, func(a, b Missing) bool { return a.Ref == b.Ref })
}

func (l *Ledger) add(ref, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing = append(l.missing, Missing{Ref: ref, Why: why})
}

// resolved notes what a ref lacks. What resolves is missing if its content is.
func (l *Ledger) resolved(ref string, d sources.Digest, err error, inner any) {
	switch storer, ok := inner.(sources.Storer); {
	case errors.Is(err, sources.ErrOffline):
		l.add(ref, "is not locked, and was not resolved here")
	case err == nil && ok && !storer.Stored(d):
		l.add(ref, "is not in the image store")
	}
}

// fetchable refuses what would need the network.
func fetchable(ref string, d sources.Digest, inner any) error {
	if storer, ok := inner.(sources.Storer); ok && !storer.Stored(d) {
		return fmt.Errorf("fetch %s: it is not in the image store: %w", ref, sources.ErrOffline)
	}
	return nil
}

// Source keeps a source off the network. Resolve of inner must fail with
// [sources.ErrOffline] rather than use it.
func (l *Ledger) Source(inner sources.Source) sources.Source { return source{inner, l} }

// Components is [Ledger.Source] for components.
func (l *Ledger) Components(inner sources.Components) sources.Components {
	return components{inner, l}
}

type source struct {
	inner  sources.Source
	ledger *Ledger
}

func (s source) Resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	d, err := s.inner.Resolve(ctx, img)
	s.ledger.resolved(img.Source, d, err, s.inner)
	return d, err
}

func (s source) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	if err := fetchable(img.Source, d, s.inner); err != nil {
		return sources.Artifact{}, err
	}
	return s.inner.Fetch(ctx, img, d, report)
}

func (s source) Stored(d sources.Digest) bool {
	storer, ok := s.inner.(sources.Storer)
	return !ok || storer.Stored(d)
}

type components struct {
	inner  sources.Components
	ledger *Ledger
}

func (c components) Resolve(ctx context.Context, ref, arch string) (sources.Digest, error) {
	d, err := c.inner.Resolve(ctx, ref, arch)
	c.ledger.resolved(ref, d, err, c.inner)
	return d, err
}

func (c components) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	if err := fetchable(ref, d, c.inner); err != nil {
		return nil, err
	}
	return c.inner.Image(ctx, ref, arch, d, report)
}

func (c components) Stored(d sources.Digest) bool {
	storer, ok := c.inner.(sources.Storer)
	return !ok || storer.Stored(d)
}
