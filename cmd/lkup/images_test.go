package main

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/lkup/lkup/linuxkit"
)

// What a stack file may name, and what there is a source for, must not part.
func TestEverySchemeOfAnImageHasASource(t *testing.T) {
	cache := t.TempDir()
	host := Host{Out: io.Discard, Err: io.Discard, Now: time.Now, Arch: "amd64", Home: t.TempDir(), Getenv: func(name string) string {
		if name == "LKUP_CACHE_DIR" {
			return cache
		}
		return ""
	}}
	images, err := openImageSources(host, t.TempDir(), imageUse{})
	if err != nil {
		t.Fatal(err)
	}
	defer images.close()
	have := linuxkit.ContainerSchemes()
	for scheme := range images.schemes {
		have = append(have, scheme)
	}
	slices.Sort(have)
	if want := sourceSchemes(); !slices.Equal(have, want) {
		t.Errorf("sources for %v, schemes %v", have, want)
	}
	for _, scheme := range linuxkit.ContainerSchemes() {
		if images.templates.Components[scheme] == nil {
			t.Errorf("no component for %s", scheme)
		}
	}
}
