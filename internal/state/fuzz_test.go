package state_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// FuzzRead holds for any file: it is a state that can be written and read
// again, or an error; and a manifest likewise.
func FuzzRead(f *testing.F) {
	whole := state.State{
		FormatVersion: 1, Lineage: "ab", Serial: 7, Stack: "shop", Outputs: map[string]any{"url": "http://x", "list": []any{1.0, nil}},
		Instances: map[spec.Address]state.Instance{"vm.web": {FormatVersion: 1, ID: "0123abcd", Address: "vm.web", CreatedAt: time.Unix(1, 0).UTC()}},
		Volumes:   map[spec.Address]state.Volume{"volume.data": {FormatVersion: 1, ID: "0123abce", Format: "raw"}},
	}
	content, err := json.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:len(content)/2])
	for _, seed := range []string{"", "{}", "null", `{"format_version": 99}`, `{"format_version": 1, "instances": {"": null}}`, `{"format_version": 1, "id": "../../x"}`, `{"format_version": 1, "id": ""}`, `{"format_version": 1, "id": "0123abcd0"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		paths := stackIn(t.TempDir())
		if err := os.MkdirAll(paths.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(paths.StateFile(), content, 0o600); err != nil {
			t.Fatal(err)
		}
		known, err := state.Read(paths)
		if err == nil {
			again, err := json.Marshal(known)
			if err != nil {
				t.Fatalf("%+v cannot be written: %v", known, err)
			}
			if err := os.WriteFile(paths.StateFile(), again, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := state.Read(paths); err != nil {
				t.Fatalf("written and not read again: %v\n%s", err, again)
			}
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "manifest.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if i, err := state.ReadManifest(dir); err == nil && filepath.Base(paths.Instance(i.ID)) != i.ID {
			t.Fatalf("the ID %q leads to %s", i.ID, paths.Instance(i.ID))
		}
	})
}
