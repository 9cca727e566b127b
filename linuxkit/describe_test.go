package linuxkit_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/spec"
)

func describe(t *testing.T, shelf shelf, files map[string]string) linuxkit.Description {
	t.Helper()
	d, err := newBuilder(t, shelf, files).Describe(t.Context(), templateImage(nil))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTheKeyOfAnImageIsWhatTheUserDecides: with another init of lkup's the
// image is another one, and its key is the same.
func TestTheKeyOfAnImageIsWhatTheUserDecides(t *testing.T) {
	const yml = "kernel: {image: kernel}\ninit: [\"builtin:init\", runc]\nfiles: [{path: a, source: site/a}]\n"
	files := map[string]string{"t.yml": yml, "site/a": "1\n"}
	shelf, newer, patched := newShelf(t), newShelf(t), newShelf(t)
	shelf.images["builtin:init"] = shelf.images["init"]
	newer.images["builtin:init"] = newer.images["web"]
	patched.images["builtin:init"], patched.images["runc"] = patched.images["init"], patched.images["web"]

	before := describe(t, shelf, files)
	if lkup := describe(t, newer, files); lkup.Key != before.Key || lkup.Digest == before.Digest {
		t.Error("another init of lkup's must change the digest and not the key")
	}
	if component := describe(t, patched, files); component.Key == before.Key {
		t.Error("another component of the user's must change the key")
	}
	if file := describe(t, shelf, map[string]string{"t.yml": yml, "site/a": "2\n"}); file.Key == before.Key {
		t.Error("another file must change the key")
	}
	var names []string
	for name, input := range before.Inputs {
		names = append(names, name)
		if isFile := name == "t.yml" || name == "site/a"; input.File != isFile || len(input.Content) == 0 {
			t.Errorf("%s: %+v", name, input)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"component builtin:init", "component kernel", "component runc", "site/a", "t.yml"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestABuiltinTemplateIsKnownByItsName(t *testing.T) {
	b := newBuilder(t, newShelf(t), nil)
	for _, ref := range []string{"builtin:init", "builtin:kernel", "apt:busybox-static", "apt:runc"} {
		b.Components["oci"].(shelf).images[ref] = b.Components["oci"].(shelf).images["kernel"]
	}
	img := spec.Image{Address: "template.t", Template: &spec.Template{Builtin: "minimal"}}
	before, err := b.Describe(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	b.Components["oci"].(shelf).images["apt:busybox-static"] = b.Components["oci"].(shelf).images["web"]
	after, err := b.Describe(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if before.Digest == after.Digest || before.Key != after.Key {
		t.Errorf("%+v and %+v", before, after)
	}
}
