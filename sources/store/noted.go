package store

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
)

// Noted makes a note of each component that inner gives, by its ref.
func (s *Store) Noted(inner sources.Components) sources.Components { return noted{inner, s} }

type noted struct {
	sources.Components
	store *Store
}

func (n noted) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	image, err := n.Components.Image(ctx, ref, arch, d, report)
	if err != nil {
		return nil, err
	}
	return image, n.store.Note(d, Note{Kind: Component, Names: []string{ref}, Arch: arch})
}

// Stored is inner's. One that reads local files has everything here.
func (n noted) Stored(d sources.Digest) bool {
	storer, ok := n.Components.(sources.Storer)
	return !ok || storer.Stored(d)
}
