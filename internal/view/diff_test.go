package view_test

import (
	"strings"
	"testing"

	"github.com/lkup/lkup/internal/view"
)

func TestADiffHidesNothing(t *testing.T) {
	var b strings.Builder
	if err := view.Diff(&b, view.Style{}, []byte("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+rm -rf / \x1b[2K\rharmless\x9b\n \ttab\n")); err != nil {
		t.Fatal(err)
	}
	want := "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+rm -rf / ␛[2K␍harmless\uFFFD\n \ttab\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
