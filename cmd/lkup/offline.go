package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/offline"
	"github.com/lkup/lkup/spec"
)

// missingError names all that is not here, and was to be had without network,
// with the images that need it.
type missingError map[offline.Missing][]spec.Address

func (e missingError) Error() string {
	var lines []string
	for m, images := range e {
		need := "needs"
		if len(images) > 1 {
			need = "need"
		}
		lines = append(lines, fmt.Sprintf("  %s %s (%s %s it)\n", m.Ref, m.Why, view.List(images), need))
	}
	slices.Sort(lines)
	var b strings.Builder
	b.WriteString("the network may not be used (--offline), and this is missing:\n")
	b.WriteString(strings.Join(lines, ""))
	b.WriteString("To fetch them while there is a network, type: lkup image pull")
	return b.String()
}

// Stored reports whether an image that resolved to d can be had without
// network.
func (s *imageSources) Stored(img spec.Image, d sources.Digest) bool {
	source, err := s.source(img)
	if err != nil {
		return false
	}
	storer, ok := source.(sources.Storer)
	return !ok || storer.Stored(d)
}

// describeAny is Describe of an image, or of a component.
func (s *imageSources) describeAny(ctx context.Context, img spec.Image) (linuxkit.Description, error) {
	if _, err := s.source(img); err == nil {
		return s.Describe(ctx, img)
	}
	d, err := s.components(img.Source).Resolve(ctx, img.Source, s.templates.Arch)
	return linuxkit.Description{Digest: d}, err
}

// checkHere is a [missingError] unless all images can be had, or built,
// without network.
func (s *imageSources) checkHere(ctx context.Context, images []spec.Image, known state.State) error {
	all := missingError{}
	var problems []error
	for _, img := range images {
		s.missing.Take()
		d, err := s.describeAny(ctx, img)
		missing := s.missing.Take()
		switch {
		case err == nil && s.Stored(img, keepDigest(img.Address, d, known, s.templates.Stored)):
			continue
		case err != nil && len(missing) == 0:
			problems = append(problems, fmt.Errorf("%s: %w", img.Origin, err))
		}
		for _, m := range missing {
			all[m] = append(all[m], img.Address)
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// savedImages are the images of a saved plan, by address.
func savedImages(saved planner.Saved) []spec.Image {
	var all []spec.Image
	for _, address := range sortedKeys(saved.Images) {
		all = append(all, saved.Images[address])
	}
	return all
}
