package spec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/spec"
)

func TestFingerprints(t *testing.T) {
	salt := []byte("salt")
	same := func(a, b spec.Input) bool { return a.Fingerprint(salt).Digest == b.Fingerprint(salt).Digest }
	plain := spec.Input{Content: []byte(`"main"`), From: []string{"var.x"}}
	if !same(plain, plain) || same(plain, spec.Input{Content: []byte(`"next"`)}) {
		t.Error("equal contents must have equal digests, and others not")
	}
	if plain.Fingerprint(salt).Digest == plain.Fingerprint([]byte("other")).Digest {
		t.Error("the salt does not count")
	}
	want := spec.Fingerprint{Text: `"main"`, From: []string{"var.x"}}
	got := plain.Fingerprint(salt)
	got.Digest = ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, in := range map[string]spec.Input{
		"sensitive":      {Content: []byte(`"main"`), Sensitive: true},
		"sensitive file": {Content: []byte("main\n"), Sensitive: true, File: true},
		"long":           {Content: []byte(strings.Repeat("x", 100))},
		"endless file":   {Content: []byte(strings.Repeat("x\n", 5000)), File: true},
	} {
		if f := in.Fingerprint(salt); f.Text != "" || f.Lines != nil {
			t.Errorf("%s: shows %q and %d lines", name, f.Text, len(f.Lines))
		}
	}
	before := spec.Input{Content: []byte("a\nb\nc"), File: true}.Fingerprint(salt).Lines
	after := spec.Input{Content: []byte("a\nB\nc"), File: true}.Fingerprint(salt).Lines
	if len(before) != 3 || before[0] != after[0] || before[1] == after[1] || before[2] != after[2] {
		t.Errorf("lines %v and %v", before, after)
	}
}
