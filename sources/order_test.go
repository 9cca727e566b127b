package sources_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// shelf is a small source: it has a digest, and the digest is here or not.
type shelf struct {
	d       sources.Digest
	err     error
	fetched *[]string
}

func (s shelf) Resolve(context.Context, spec.Image) (sources.Digest, error) { return s.d, s.err }

func (s shelf) Fetch(_ context.Context, img spec.Image, d sources.Digest, _ sources.Report) (sources.Artifact, error) {
	*s.fetched = append(*s.fetched, img.Source)
	if s.err != nil {
		return sources.Artifact{}, s.err
	}
	if s.d != d {
		return sources.Artifact{}, errors.New(img.Source + " has another digest")
	}
	return sources.Artifact{Digest: d, Disk: img.Source}, nil
}

// storing knows what is here, locking what is locked.
type storing struct {
	shelf
	here bool
}

func (s storing) Stored(sources.Digest) bool { return s.here }

type locking struct {
	storing
	locked, lockable bool
}

func (l locking) Locked(spec.Image) (locked, lockable bool) { return l.locked, l.lockable }

var img = spec.Image{Address: "image.x", Source: "a:1", Fallbacks: []string{"b:1", "c:1"}}

func TestRefsAreTriedInOrder(t *testing.T) {
	down := errors.New("down")
	for _, c := range []struct {
		name    string
		options func(shelf func(sources.Digest, error) shelf) []sources.Source
		want    sources.Digest // or:
		err     string
		fetched string
	}{
		{"the first", func(s func(sources.Digest, error) shelf) []sources.Source {
			return []sources.Source{s("x", nil), s("y", nil)}
		}, "x", "", "a:1"},
		{"the second, if the first does not resolve", func(s func(sources.Digest, error) shelf) []sources.Source {
			return []sources.Source{s("", down), s("y", nil), s("z", nil)}
		}, "y", "", "a:1 b:1"},
		{"all errors, if none does", func(s func(sources.Digest, error) shelf) []sources.Source {
			return []sources.Source{s("", down), s("", errors.New("gone"))}
		}, "", "none of its 2 refs can be had:\n  down\n  gone", ""},
		{"the locked one, whoever is up", func(s func(sources.Digest, error) shelf) []sources.Source {
			return []sources.Source{locking{storing{shelf: s("x", nil)}, false, true}, locking{storing{shelf: s("y", nil)}, true, true}}
		}, "y", "", "a:1 b:1"},
		{"what cannot be locked, before what is", func(s func(sources.Digest, error) shelf) []sources.Source {
			return []sources.Source{s("x", nil), locking{storing{shelf: s("y", nil)}, true, true}}
		}, "x", "", "a:1"},
		{"what is a digest itself, before what is locked", func(s func(sources.Digest, error) shelf) []sources.Source {
			return []sources.Source{locking{storing{shelf: s("x", nil)}, false, false}, locking{storing{shelf: s("y", nil)}, true, true}}
		}, "x", "", "a:1"},
		{"whoever has it here gives it", func(s func(sources.Digest, error) shelf) []sources.Source {
			return []sources.Source{storing{s("x", nil), false}, storing{s("x", nil), true}}
		}, "x", "", "b:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fetched []string
			var options []sources.Option
			for i, source := range c.options(func(d sources.Digest, err error) shelf { return shelf{d, err, &fetched} }) {
				options = append(options, sources.Option{Ref: string(rune('a'+i)) + ":1", Source: source})
			}
			all := sources.InOrder(options)
			d, err := all.Resolve(context.Background(), img)
			if c.err != "" {
				if err == nil || err.Error() != c.err || !errors.Is(err, down) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || d != c.want {
				t.Fatalf("got %s, %v", d, err)
			}
			if artifact, err := all.Fetch(context.Background(), img, d, nil); err != nil || artifact.Digest != c.want {
				t.Errorf("got %v, %v", artifact, err)
			}
			if got := strings.Join(fetched, " "); got != c.fetched {
				t.Errorf("asked %s", got)
			}
			if !all.(sources.Storer).Stored(d) && !strings.Contains(c.name, "locked") {
				t.Error("what is here counts as elsewhere")
			}
			if all.(sources.Storer).Stored("other") && c.name != "whoever has it here gives it" {
				t.Error("what is elsewhere counts as here")
			}
		})
	}
}

func TestACancelledChoiceAsksNobodyElse(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var fetched []string
	all := sources.InOrder([]sources.Option{
		{Ref: "a:1", Source: shelf{"", errors.New("ended"), &fetched}},
		{Ref: "b:1", Source: shelf{"x", nil, &fetched}},
	})
	if _, err := all.Resolve(ctx, img); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
