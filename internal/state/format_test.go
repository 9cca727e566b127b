package state_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// What the first lkup wrote is read as it meant it, and written anew without a
// loss.
func TestAStateOfTheFirstFormatIsReadAndKept(t *testing.T) {
	content, err := os.ReadFile("testdata/format1.json")
	if err != nil {
		t.Fatal(err)
	}
	var want state.State
	if err := json.Unmarshal(content, &want); err != nil {
		t.Fatal(err)
	}
	paths := stackIn(t.TempDir())
	if err := os.MkdirAll(paths.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths.StateFile(), content, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := state.Read(paths)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got.Instances) != 1 {
		t.Fatalf("read otherwise (-want +got):\n%s", diff)
	}
	store, err := state.Lock(t.Context(), paths, state.Owner{Stack: want.Stack, Project: want.Project})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.SetOutputs(map[string]any{"url": "http://x"}, nil); err != nil {
		t.Fatal(err)
	}
	again, err := state.Read(paths)
	if err != nil {
		t.Fatal(err)
	}
	if again.FormatVersion != state.FormatVersion {
		t.Errorf("written in format %d", again.FormatVersion)
	}
	if diff := cmp.Diff(want.Instances, again.Instances); diff != "" {
		t.Errorf("written otherwise (-want +got):\n%s", diff)
	}
}

func TestAnEditedManifestIsSeen(t *testing.T) {
	for name, tt := range map[string]struct {
		edit   func(path string, content []byte) error
		edited bool
	}{
		"left alone": {func(string, []byte) error { return nil }, false},
		"touched": {func(path string, _ []byte) error {
			return os.Chtimes(path, time.Time{}, time.Unix(1e9, 0))
		}, false},
		"longer": {func(path string, content []byte) error {
			return os.WriteFile(path, append(content, ' '), 0o600)
		}, true},
		"as long": {func(path string, content []byte) error {
			content[len(content)-1] = ' '
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
			return os.Chtimes(path, time.Time{}, time.Unix(1e9, 0))
		}, true},
		"removed": {func(path string, _ []byte) error { return os.Remove(path) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			paths := stackIn(t.TempDir())
			store := lock(t, paths)
			defer store.Close()
			if err := store.Put(instance(7)); err != nil {
				t.Fatal(err)
			}
			i := store.State().Instances[spec.Address("vm.n[7]")]
			path := paths.Manifest(i.ID)
			content, err := os.ReadFile(filepath.Clean(path))
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.edit(path, content); err != nil {
				t.Fatal(err)
			}
			if edited, err := state.Edited(paths, i); err != nil || edited != tt.edited {
				t.Errorf("edited: %t, %v; want %t", edited, err, tt.edited)
			}
		})
	}
}
