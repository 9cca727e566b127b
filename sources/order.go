package sources

import (
	"context"
	"fmt"
	"strings"

	"github.com/lkup/lkup/spec"
)

// Option is one of the refs that an image can be had from, and the source of
// its scheme.
type Option struct {
	Ref    string
	Source Source
}

// Locker is a Source that remembers what images resolved to, for all who work
// on a project.
type Locker interface {
	// Locked reports whether an image is remembered, and whether it would be:
	// a ref that is a digest itself need not.
	Locked(img spec.Image) (locked, lockable bool)
}

// InOrder is a source of images that can be had from several places. The first
// that resolves decides the digest; whichever has that digest gives the files.
// So a place that is down, or back, changes nothing by itself: where one of
// several refs is locked, those before it that could be and are not do not
// resolve anew.
func InOrder(options []Option) Source { return inOrder(options) }

type inOrder []Option

// each tries the options in order until one succeeds. If none does, the error
// is all of theirs.
func (o inOrder) each(ctx context.Context, img spec.Image, try func(Option, spec.Image) error) error {
	var failures []error
	for _, option := range o {
		one := img
		one.Source, one.Fallbacks = option.Ref, nil
		err := try(option, one)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failures = append(failures, err)
	}
	return noneOf(failures)
}

func (o inOrder) Resolve(ctx context.Context, img spec.Image) (Digest, error) {
	locked := o.locked(img)
	var found Digest
	err := o.each(ctx, img, func(option Option, one spec.Image) error {
		if mine, lockable := lockedOf(option.Source, one); locked && lockable && !mine {
			return fmt.Errorf("%s: it is not locked, and another of its refs is", one.Source)
		}
		d, err := option.Source.Resolve(ctx, one)
		found = d
		return err
	})
	if err != nil {
		return "", err
	}
	return found, nil
}

// locked reports whether any of the refs is.
func (o inOrder) locked(img spec.Image) bool {
	for _, option := range o {
		one := img
		one.Source, one.Fallbacks = option.Ref, nil
		if locked, _ := lockedOf(option.Source, one); locked {
			return true
		}
	}
	return false
}

func lockedOf(source Source, img spec.Image) (locked, lockable bool) {
	if locker, ok := source.(Locker); ok {
		return locker.Locked(img)
	}
	return false, false
}

// Fetch prefers who has it here already.
func (o inOrder) Fetch(ctx context.Context, img spec.Image, d Digest, report Report) (Artifact, error) {
	var here, elsewhere inOrder
	for _, option := range o {
		if storer, ok := option.Source.(Storer); ok && storer.Stored(d) {
			here = append(here, option)
		} else {
			elsewhere = append(elsewhere, option)
		}
	}
	var artifact Artifact
	err := append(here, elsewhere...).each(ctx, img, func(option Option, one spec.Image) error {
		found, err := option.Source.Fetch(ctx, one, d, report)
		artifact = found
		return err
	})
	if err != nil {
		return Artifact{}, err
	}
	return artifact, nil
}

// Stored reports whether any of the sources has d here. One that only reads
// local files has what its ref resolves to now.
func (o inOrder) Stored(d Digest) bool {
	for _, option := range o {
		if storer, ok := option.Source.(Storer); ok {
			if storer.Stored(d) {
				return true
			}
			continue
		}
		if got, err := option.Source.Resolve(context.Background(), spec.Image{Source: option.Ref}); err == nil && got == d {
			return true
		}
	}
	return false
}

// noneOf is why nothing came of several tries.
func noneOf(failures []error) error {
	var texts []string
	for _, err := range failures {
		texts = append(texts, err.Error())
	}
	return &failed{text: fmt.Sprintf("none of its %d refs can be had:\n  ", len(failures)) + strings.Join(texts, "\n  "), all: failures}
}

// failed keeps the errors that it is made of.
type failed struct {
	text string
	all  []error
}

func (f *failed) Error() string { return f.text }

func (f *failed) Unwrap() []error { return f.all }
