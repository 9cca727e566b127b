package ssh_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/reconciler"
)

const record = ".lkup-share.json"

// copies is what a guest's directory holds besides the record.
func copies(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := tree(t, dir)
	maps.DeleteFunc(all, func(name, _ string) bool { return name == record || name == "." })
	return all
}

func TestAMirrorFollowsADirectory(t *testing.T) {
	conn := connect(t, serve(t, ""))
	host, to := t.TempDir(), filepath.Join(t.TempDir(), "a", "copy")
	mirror := func(want reconciler.Mirrored) {
		t.Helper()
		done, err := conn.Mirror(t.Context(), host, to)
		done.Bytes = 0
		if diff := cmp.Diff(want, done); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
	}
	do := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, host, map[string]string{"a": "one", "deep/er/b": "two", "link": "-> a", "out": "-> /etc/passwd", "empty/": ""})
	do(os.Chmod(filepath.Join(host, "a"), 0o750))
	mirror(reconciler.Mirrored{Sent: 4})
	if diff := cmp.Diff(copies(t, host), copies(t, to)); diff != "" {
		t.Fatal(diff)
	}
	mirror(reconciler.Mirrored{})

	// Edited, deleted, a directory in the place of a file and the other way round.
	write(t, host, map[string]string{"a": "ONE"})
	do(os.RemoveAll(filepath.Join(host, "deep")), os.Remove(filepath.Join(host, "link")), os.Remove(filepath.Join(host, "empty")))
	write(t, host, map[string]string{"deep": "file", "link/in": "dir"})
	write(t, to, map[string]string{"own": "the guest's", "out.txt": "too"})
	mirror(reconciler.Mirrored{Sent: 3, Deleted: 2})
	got := copies(t, to)
	for name, want := range map[string]string{"own": "the guest's", "out.txt": "too", "a": "ONE", "deep": "file", "link/in": "dir"} {
		content, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || string(content) != want {
			t.Errorf("%s is %q, %v", name, content, err)
		}
	}
	if _, there := got["empty"]; there {
		t.Error("a directory that went is still there")
	}

	// What the guest did to its copy stays; a directory that it removed is back
	// with the next file in it.
	do(os.WriteFile(filepath.Join(to, "a"), []byte("guest"), 0o600), os.RemoveAll(filepath.Join(to, "link")))
	mirror(reconciler.Mirrored{})
	write(t, host, map[string]string{"link/new": "new"})
	mirror(reconciler.Mirrored{Sent: 1})
	if content, err := os.ReadFile(filepath.Join(to, "link", "new")); err != nil || string(content) != "new" {
		t.Fatalf("%q, %v", content, err)
	}
}

func TestAMirrorThatWasCutGoesOn(t *testing.T) {
	conn := connect(t, serve(t, ""))
	host, to := t.TempDir(), t.TempDir()
	write(t, host, map[string]string{"a": "one", "b": "two", "c": "three"})
	write(t, to, map[string]string{"b/in": "the way"}) // a directory that is the guest's own
	if done, err := conn.Mirror(t.Context(), host, to); err == nil {
		t.Fatalf("a file took the place of the guest's directory: %v", done)
	}
	if err := os.RemoveAll(filepath.Join(to, "b")); err != nil {
		t.Fatal(err)
	}
	done, err := conn.Mirror(t.Context(), host, to)
	if err != nil || done.Sent != 2 {
		t.Fatalf("%v, %v: want b and c", done, err)
	}
	// A record that says nothing has all sent again, and nothing deleted.
	write(t, to, map[string]string{record: `{"../../x": 1`, "own": ""})
	if done, err = conn.Mirror(t.Context(), host, to); err != nil || done.Sent != 3 || done.Deleted != 0 {
		t.Fatalf("%v, %v", done, err)
	}
	// One that lies reaches nothing outside.
	outside := filepath.Join(filepath.Dir(to), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, to, map[string]string{record: `{"../outside": {"mode": 420}}`})
	if _, err = conn.Mirror(t.Context(), host, to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Fatal(err)
	}
}

// TestAMirrorThatWasKilledForgetsNothing has what an interrupted one had copied
// deleted by the next, because it was recorded before it was copied.
func TestAMirrorThatWasKilledForgetsNothing(t *testing.T) {
	conn := connect(t, serve(t, ""))
	host, to := t.TempDir(), t.TempDir()
	write(t, host, map[string]string{"a": "one", "b": ""})
	if err := os.Truncate(filepath.Join(host, "b"), 4<<30); err != nil { // it takes long
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := os.Stat(filepath.Join(to, "a")); err == nil || ctx.Err() != nil {
				cancel()
				return
			}
		}
	}()
	if done, err := conn.Mirror(ctx, host, to); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, %v: it was not interrupted", done, err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.Remove(filepath.Join(host, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Mirror(t.Context(), host, to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was copied before the interruption is still there: %v", err)
	}
}
