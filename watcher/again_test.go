package watcher_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/watcher"
)

// TestToLookWhereSomethingHappenedIsToLookEverywhere does random things to a
// project, and compares a look at the directories of each thing with a look at
// all.
func TestToLookWhereSomethingHappenedIsToLookEverywhere(t *testing.T) {
	for seed := range uint64(60) {
		dir := t.TempDir()
		tree := tree{t, dir, rand.New(rand.NewPCG(seed, 7))}
		s := watcher.Scanner{Project: os.DirFS(dir), Skip: map[string]bool{"c": true}, ID: inode}
		also := []string{"a/b/asked", "b/a/x", "c/y"}
		shot, err := s.Scan(also)
		if err != nil {
			t.Fatal(err)
		}
		var done []string
		for range 15 {
			dirty := map[string]bool{}
			for range 1 + tree.random.IntN(6) {
				what, at := tree.act()
				done = append(done, what)
				for _, name := range at {
					dirty[filepath.Dir(name)], dirty[name] = true, true
				}
			}
			var dirs []string
			for name := range dirty {
				dirs = append(dirs, name)
			}
			quick, err := s.Again(shot, dirs, also)
			if err != nil {
				t.Fatal(err)
			}
			all, err := s.Scan(also)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(all, quick); diff != "" {
				t.Fatalf("seed %d, after %q:\n%s", seed, done, diff)
			}
			shot = quick
		}
	}
}

// tree is a project to do things to. Few names, so that they meet often.
type tree struct {
	t      *testing.T
	dir    string
	random *rand.Rand
}

func (tr tree) name(last ...string) string {
	name := last[tr.random.IntN(len(last))]
	for range tr.random.IntN(4) {
		name = filepath.Join([]string{"a", "b", "c"}[tr.random.IntN(3)], name)
	}
	return name
}

// act does one thing, and says what, and to which names. What cannot be done,
// such as to remove what is not there, is nothing.
func (tr tree) act() (what string, at []string) {
	one, two := tr.name("a", "b", "c", "x", "y"), tr.name("a", "b", "c", "x", "y")
	path := func(name string) string { return filepath.Join(tr.dir, name) }
	switch tr.random.IntN(9) {
	case 0, 1:
		_ = os.MkdirAll(path(one), 0o700)
		what = "mkdir " + one
		for d := one; d != "."; d = filepath.Dir(d) {
			at = append(at, d)
		}
		return what, at
	case 2, 3:
		_ = os.WriteFile(path(one), fmt.Append(nil, tr.random.Int()), 0o600)
		return "write " + one, []string{one}
	case 4:
		at = tr.below(one)
		_ = os.RemoveAll(path(one))
		return "remove " + one, append(at, one)
	case 5:
		at = append(tr.below(one), tr.below(two)...)
		_ = os.Rename(path(one), path(two))
		return "rename " + one + " " + two, append(at, one, two)
	case 6:
		_ = os.Symlink("nowhere", path(one)) // what leads to other names would change those
		return "link " + one, []string{one}
	case 7:
		one = tr.name(".gitignore")
		_ = os.WriteFile(path(one), []byte([]string{"x\n", "/b/\n", "a\n!a/x\n", "", "b/x\n.gitignore\n"}[tr.random.IntN(5)]), 0o600)
		return "ignore " + one, []string{one}
	default:
		_ = os.Chmod(path(one), 0o700)
		return "chmod " + one, []string{one}
	}
}

// below are the names below one: each goes with it.
func (tr tree) below(name string) (all []string) {
	_ = filepath.WalkDir(filepath.Join(tr.dir, name), func(p string, _ os.DirEntry, err error) error {
		if rel, relErr := filepath.Rel(tr.dir, p); err == nil && relErr == nil {
			all = append(all, rel)
		}
		return nil
	})
	return all
}
