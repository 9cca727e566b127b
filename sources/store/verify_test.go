package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// overwrite changes a sealed file as a broken disk would.
func overwrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageIsFoundAndNamed(t *testing.T) {
	s, ctx := open(t), context.Background()
	blob, err := s.Put(ctx, []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	key := store.Key("result")
	dir, err := s.Build(ctx, key, func(dir string) error {
		return errors.Join(
			os.Mkdir(filepath.Join(dir, "folder"), 0o700),
			os.WriteFile(filepath.Join(dir, "folder", "a"), []byte("a"), 0o600),
			os.WriteFile(filepath.Join(dir, "b"), []byte("b"), 0o600),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []sources.Digest{blob, key} {
		if damages, err := s.Verify(d); err != nil || len(damages) > 0 {
			t.Fatalf("%v, %v", damages, err)
		}
	}
	path, _ := s.Blob(blob)
	overwrite(t, path, "c0ntent")
	overwrite(t, filepath.Join(dir, "folder", "a"), "A")
	if err := os.Remove(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range []sources.Digest{blob, key} {
		damages, err := s.Verify(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, damage := range damages {
			got = append(got, filepath.Base(damage.Path)+" "+damage.What)
		}
	}
	want := []string{
		blob.Hex() + " has other content, of digest sha256:0f7d8f95b3255432d5b96010042e17e70c184a31b43fac49b225046c4f905f41",
		"b is missing",
		"c does not belong there",
		"a has other content, of digest sha256:559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAResultWithoutSumsIsNotCalledWhole(t *testing.T) {
	s, ctx := open(t), context.Background()
	key := store.Key("result")
	if _, err := s.Build(ctx, key, func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), nil, 0o600) }); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s.Dir(filepath.Join("sums", key.Hex()+".json")), "")
	if _, err := s.Verify(key); !errors.Is(err, store.ErrUnsummed) {
		t.Errorf("got %v", err)
	}
}

func TestNotesAddUp(t *testing.T) {
	s, ctx := open(t), context.Background()
	d, err := s.Put(ctx, []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := s.Put(ctx, []byte("part"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []store.Note{
		{Kind: store.Component, Names: []string{"b"}, Arch: "amd64"},
		{Names: []string{"a"}, Refs: []sources.Digest{part}},
		{Names: []string{"b"}, Refs: []sources.Digest{part}},
	} {
		if err := s.Note(d, n); err != nil {
			t.Fatal(err)
		}
	}
	graph, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	want := store.Note{Kind: store.Component, Names: []string{"b", "a"}, Arch: "amd64", Refs: []sources.Digest{part}}
	if diff := cmp.Diff(want, graph[d].Note); diff != "" {
		t.Error(diff)
	}
	if found := graph.ByName("a"); len(found) != 1 || found[0].Digest != d {
		t.Errorf("found %v", found)
	}
	for text, want := range map[string]sources.Digest{string(d): d, d.Hex(): d, d.Short(): d, "zz": "", "": ""} {
		found, err := graph.Find(text)
		if found.Digest != want || (err == nil) != (want != "") {
			t.Errorf("%q: found %s, %v", text, found.Digest, err)
		}
	}
}
