package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lay writes files below a directory.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// lies reads all files below a directory but git's.
func lies(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOfAReviewOnlyWhatIsNotProtectedComesBack(t *testing.T) {
	project := t.TempDir()
	lay(t, project, map[string]string{
		"a.txt": "one\n", "gone.txt": "gone\n", "crlf.txt": "a\r\n", "blob": "\x00\x01", ".gitignore": "out\n", "lkup.hcl": "stack \"x\" {}\n",
		".gitattributes": "* text=auto eol=crlf filter=evil diff=evil\n", "out/old": "old",
	})
	v, err := newReview(t.Context(), filepath.Join(t.TempDir(), "r"), project, []string{"lkup.hcl", ".envrc"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lies(t, project), lies(t, v.copy())); diff != "" {
		t.Fatalf("the copy: %s", diff)
	}
	marker := filepath.Join(t.TempDir(), "ran")
	lay(t, v.copy(), map[string]string{
		"a.txt": "one\ntwo\n", "crlf.txt": "a\r\nb\r\n", "blob": "\x00\x02", "new/deep.txt": "new\n", "lkup.hcl": "evil", ".envrc": "evil", "out/old": "changed", "out/new": "built",
		".git/config": "[core]\n\tfsmonitor = touch " + marker + "\n[filter \"evil\"]\n\tclean = touch " + marker + "\n",
	})
	if err := os.Remove(filepath.Join(v.copy(), "gone.txt")); err != nil {
		t.Fatal(err)
	}
	c, err := v.changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".envrc", "lkup.hcl"}, c.kept); diff != "" {
		t.Errorf("kept back: %s", diff)
	}
	if text := string(c.text); strings.Contains(text, "evil") || !strings.Contains(text, "+two\n") {
		t.Errorf("shown: %s", text)
	}
	if err := v.apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a.txt": "one\ntwo\n", "crlf.txt": "a\r\nb\r\n", "blob": "\x00\x02", "new/deep.txt": "new\n", ".gitignore": "out\n", "lkup.hcl": "stack \"x\" {}\n",
		".gitattributes": "* text=auto eol=crlf filter=evil diff=evil\n", "out/old": "old",
	}
	if diff := cmp.Diff(want, lies(t, project)); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("git took a command from the copy")
	}
}

func TestAReviewThatNoLongerFitsChangesNothing(t *testing.T) {
	project := t.TempDir()
	lay(t, project, map[string]string{"a.txt": "one\n", "b.txt": "one\n"})
	v, err := newReview(t.Context(), filepath.Join(t.TempDir(), "r"), project, nil)
	if err != nil {
		t.Fatal(err)
	}
	lay(t, v.copy(), map[string]string{"a.txt": "two\n", "b.txt": "two\n"})
	lay(t, project, map[string]string{"b.txt": "three\n"})
	c, err := v.changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.apply(t.Context(), c); err == nil || !strings.Contains(err.Error(), "b.txt") {
		t.Errorf("applied: %v", err)
	}
	if diff := cmp.Diff(map[string]string{"a.txt": "one\n", "b.txt": "three\n"}, lies(t, project)); diff != "" {
		t.Error(diff)
	}
}

func TestAReviewFollowsNoLinksOutOfTheProject(t *testing.T) {
	project, outside := t.TempDir(), t.TempDir()
	lay(t, project, map[string]string{"a.txt": "one\n", "sub/b.txt": "b\n"})
	v, err := newReview(t.Context(), filepath.Join(t.TempDir(), "r"), project, nil)
	if err != nil {
		t.Fatal(err)
	}
	lay(t, v.copy(), map[string]string{"sub/b.txt": "c\n", "sub/evil": "evil"})
	c, err := v.changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(project, "sub")); err != nil {
		t.Fatal(err)
	}
	lay(t, outside, map[string]string{"b.txt": "b\n"})
	if err := os.Symlink(outside, filepath.Join(project, "sub")); err != nil {
		t.Fatal(err)
	}
	if err := v.apply(t.Context(), c); err == nil {
		t.Error("it was written through a link")
	}
	if diff := cmp.Diff(map[string]string{"b.txt": "b\n"}, lies(t, outside)); diff != "" {
		t.Error(diff)
	}
}
