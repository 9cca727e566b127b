package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/ssh"
)

func copier(t *testing.T, conn *ssh.Conn) *ssh.Copier {
	t.Helper()
	c, err := conn.Copier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// tree is what a directory holds: modes, and contents or where links lead.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		text := info.Mode().String()
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text = "-> " + target
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(content)
		}
		all[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// write makes files: "name" -> content, "name/" a directory, "-> target" a link.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		target, link := strings.CutPrefix(files[name], "-> ")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(files[name]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTreesAreCopiedBothWays(t *testing.T) {
	c := copier(t, connect(t, serve(t, "/bin/sh")))
	source := filepath.Join(t.TempDir(), "site")
	write(t, source, map[string]string{
		"index.html": "<h1>", "run.sh": "#!/bin/sh", "empty": "", "none/": "", "a/b/c": "deep", "a/up": "-> ../index.html", "a/b/same": "-> c",
	})
	for name, mode := range map[string]fs.FileMode{"run.sh": 0o755, "index.html": 0o600, "none": 0o700, "a/b": 0o555} {
		if err := os.Chmod(filepath.Join(source, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(source, "a/b"), 0o755) })
	want := tree(t, source)
	away := t.TempDir()
	for _, way := range []struct {
		name string
		do   func(from, to string) (ssh.Copied, error)
	}{{"push", c.Push}, {"pull", c.Pull}} {
		t.Run(way.name, func(t *testing.T) {
			for _, target := range []struct{ name, from, to, there string }{
				{"a new name", source, filepath.Join(away, way.name+"-new"), filepath.Join(away, way.name+"-new")},
				{"into a directory", source, t.TempDir(), "site"},
				{"its contents", source + "/.", t.TempDir(), "."},
				{"over what is there", source, filepath.Join(away, way.name+"-new") + "/.", "site"},
			} {
				there := target.there
				if !filepath.IsAbs(there) {
					there = filepath.Join(target.to, there)
				}
				for range 2 { // again, over itself
					to := target.to
					if target.name == "a new name" {
						if _, err := os.Stat(to); err == nil {
							break
						}
					}
					if _, err := way.do(target.from, to); err != nil {
						t.Fatalf("%s: %v", target.name, err)
					}
				}
				t.Cleanup(func() { _ = os.Chmod(filepath.Join(there, "a/b"), 0o755) })
				if diff := cmp.Diff(want, tree(t, there)); diff != "" && target.name != "a new name" {
					t.Errorf("%s (-want +got):\n%s", target.name, diff)
				}
			}
		})
	}
}

func TestSingleFilesAreCopiedBothWays(t *testing.T) {
	c := copier(t, connect(t, serve(t, "/bin/sh")))
	source := filepath.Join(t.TempDir(), "big")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than many packets
	if err := os.WriteFile(source, content, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(from, to string) (ssh.Copied, error){"push": c.Push, "pull": c.Pull} {
		dir := t.TempDir()
		for _, to := range []string{filepath.Join(dir, "renamed"), dir, dir + "/"} {
			if _, err := do(source, to); err != nil {
				t.Fatalf("%s to %s: %v", name, to, err)
			}
		}
		for _, there := range []string{"renamed", "big"} {
			got, err := os.ReadFile(filepath.Join(dir, there))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %s has %d bytes, %v", name, there, len(got), err)
			}
			if info, err := os.Stat(filepath.Join(dir, there)); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".lkup*")); left != nil {
			t.Errorf("%s left %v", name, left)
		}
	}
	if _, err := c.Pull(filepath.Join(t.TempDir(), "none"), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("what is not there: %v", err)
	}
}

// A guest's links are made again where they stay within the tree, and are left
// out, and named, where they do not.
func TestLinksThatLeadOutAreNotMade(t *testing.T) {
	c := copier(t, connect(t, serve(t, "/bin/sh")))
	source := filepath.Join(t.TempDir(), "tree")
	write(t, source, map[string]string{
		"file": "x", "d/inside": "-> ../file", "d/gone": "-> ../not/there",
		"etc": "-> /etc", "up": "-> ..", "d/up": "-> ../../x", "here": "-> .", "sly": "-> here/../secret", "d/e/sly": "-> ../../d/../../secret",
	})
	to := filepath.Join(t.TempDir(), "to")
	done, err := c.Pull(source, to)
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for name, text := range tree(t, to) {
		if strings.HasPrefix(text, "->") {
			links = append(links, name)
		}
	}
	slices.Sort(links)
	if diff := cmp.Diff([]string{"d/gone", "d/inside", "here"}, links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if len(done.LeftOut) != 5 {
		t.Errorf("left out: %q", done.LeftOut)
	}
}

// A link that stood in the target before is not followed out of it.
func TestOldLinksOfTheHostAreNotFollowed(t *testing.T) {
	c := copier(t, connect(t, serve(t, "/bin/sh")))
	source, outside, to := filepath.Join(t.TempDir(), "tree"), t.TempDir(), t.TempDir()
	write(t, source, map[string]string{"dir/file": "x", "plain": "y"})
	write(t, outside, map[string]string{"kept": "kept"})
	write(t, to, map[string]string{"tree/dir": "-> " + outside, "tree/plain": "-> " + filepath.Join(outside, "kept")})
	if _, err := c.Pull(source, to); err == nil {
		t.Error("it went through a link to a directory outside")
	}
	if _, err := c.Pull(filepath.Join(source, "plain"), filepath.Join(to, "tree")); err != nil {
		t.Error(err)
	}
	want := map[string]string{".": "drwxr-xr-x", "kept": "-rw-r--r-- kept"}
	if err := os.Chmod(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, tree(t, outside)); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
}

func TestACopyEndsWithItsContext(t *testing.T) {
	conn := connect(t, serve(t, "/bin/sh"))
	ctx, cancel := context.WithCancel(t.Context())
	c, err := conn.Copier(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 1<<40); err != nil {
		t.Fatal(err)
	}
	c.Report = func(_ int, bytes int64) {
		if bytes > 1<<20 {
			cancel()
		}
	}
	to := t.TempDir()
	if _, err := c.Pull(big, to); err == nil {
		t.Error("a terabyte was copied")
	}
	if left, err := os.ReadDir(to); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if errors.Is(t.Context().Err(), context.Canceled) {
		t.Error("the test took too long")
	}
}
