package state_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

func lockHere(t *testing.T, paths layout.Stack) *state.Store {
	t.Helper()
	store, err := state.Lock(t.Context(), paths, state.Owner{Stack: "shop", Project: "/shop", Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestARestoringThatWasCutIsFinished cuts it after each of its effects. Whoever
// locks the stack next finds all of it done.
func TestARestoringThatWasCutIsFinished(t *testing.T) {
	volumes := map[spec.Address]state.Volume{
		"volume.a": {Address: "volume.a", ID: "0000000a", Name: "a", Format: "raw"},
		"volume.b": {Address: "volume.b", ID: "0000000b", Name: "b", Format: "raw"},
	}
	machine := state.Instance{Address: "vm.db", ID: "0000000c", Nonce: "n", Driver: "fake", Created: true, Applied: spec.VM{
		Address: "vm.db", Memory: 192, Ports: []spec.Port{{Guest: 80, Host: 4711, Auto: true, Protocol: "tcp"}},
	}}
	for cut := range 4 {
		paths := layout.Layout{State: t.TempDir(), Runtime: t.TempDir()}.Stack("shop", "/shop")
		restoring := state.Restoring{FormatVersion: 1, Name: "first", Volumes: volumes, Instances: map[spec.Address]state.Instance{"vm.db": machine}}
		store := lockHere(t, paths)
		for _, v := range volumes {
			if err := store.PutVolume(v); err != nil {
				t.Fatal(err)
			}
			disk := filepath.Join(paths.Volume(v.ID), v.File())
			put(t, disk, "now")
			part := filepath.Join(paths.Copies(), v.ID)
			put(t, part, "then")
			restoring.Renames = append(restoring.Renames, state.Rename{From: part, To: disk})
		}
		gone := filepath.Join(paths.Instance(machine.ID), "created") // the machine is not there any more
		put(t, filepath.Join(paths.Copies(), "created"), "")
		restoring.Renames = append(restoring.Renames, state.Rename{From: filepath.Join(paths.Copies(), "created"), To: gone})
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		content, err := json.Marshal(restoring)
		if err != nil {
			t.Fatal(err)
		}
		put(t, paths.Restoring(), string(content))
		for _, r := range restoring.Renames[:cut] {
			if err := errors.Join(os.MkdirAll(filepath.Dir(r.To), 0o700), os.Rename(r.From, r.To)); err != nil {
				t.Fatal(err)
			}
		}

		store = lockHere(t, paths)
		for _, v := range volumes {
			disk, err := os.ReadFile(filepath.Join(paths.Volume(v.ID), v.File()))
			if err != nil || string(disk) != "then" {
				t.Errorf("cut after %d: %s holds %q, %v", cut, v.Address, disk, err)
			}
		}
		if _, err := os.Stat(gone); err != nil {
			t.Errorf("cut after %d: %v", cut, err)
		}
		i, found := store.Instance("vm.db")
		if !found || i.Applied.Memory != 192 {
			t.Errorf("cut after %d: the machine is recorded as %+v, %t", cut, i, found)
		}
		want := map[spec.Address][]state.ChosenPort{"vm.db": {{Guest: 80, Protocol: "tcp", Host: 4711}}}
		if diff := cmp.Diff(want, store.State().Ports); diff != "" {
			t.Errorf("cut after %d: ports (-want +got):\n%s", cut, diff)
		}
		for _, path := range []string{paths.Restoring(), paths.Copies()} {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("cut after %d: %s is left: %v", cut, path, err)
			}
		}
	}
}

// TestCopiesWithoutAnOrderAreThrownAway: who was killed while copying leaves
// the stack as it was.
func TestCopiesWithoutAnOrderAreThrownAway(t *testing.T) {
	paths := layout.Layout{State: t.TempDir(), Runtime: t.TempDir()}.Stack("shop", "/shop")
	put(t, filepath.Join(paths.Copies(), "disk"), "half")
	lockHere(t, paths)
	if _, err := os.Stat(paths.Copies()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copies are left: %v", err)
	}
}

func TestARestoringOfANewerLkupIsLeftAlone(t *testing.T) {
	paths := layout.Layout{State: t.TempDir(), Runtime: t.TempDir()}.Stack("shop", "/shop")
	for _, content := range []string{`{"format_version": 99}`, `{`} {
		put(t, paths.Restoring(), content)
		if store, err := state.Lock(t.Context(), paths, state.Owner{Stack: "shop", Project: "/shop", Rand: rand.Reader}); err == nil {
			store.Close()
			t.Errorf("%s: the stack is locked all the same", content)
		} else if !strings.Contains(err.Error(), paths.Restoring()) {
			t.Errorf("%s: the error does not name the file: %v", content, err)
		}
	}
}

func TestCheckpointsAreWholeOrNotThere(t *testing.T) {
	paths := layout.Layout{State: t.TempDir(), Runtime: t.TempDir()}.Stack("shop", "/shop")
	store := lockHere(t, paths)
	of := spec.Address(`vm.web["a/b"]`)
	begin := func(name string) string {
		dir, err := store.BeginCheckpoint(of, name)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	put(t, filepath.Join(begin("cut"), "half"), "half")
	names := func() (all []string) {
		list, err := state.Checkpoints(paths, of)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			all = append(all, c.Name)
		}
		return all
	}
	if got := names(); got != nil {
		t.Errorf("what is not whole is listed: %v", got)
	}
	if left, err := os.ReadDir(begin("cut")); err != nil || len(left) != 0 {
		t.Errorf("another try begins with %v, %v", left, err)
	}
	for n, name := range []string{"later", "earlier"} {
		begin(name)
		if err := store.EndCheckpoint(state.Checkpoint{Name: name, Of: of, CreatedAt: time.Unix(int64(1000-n), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"earlier", "later"}, names()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := state.Snapshotted(paths); err != nil || len(got) != 1 || got[0] != of {
		t.Errorf("machines with snapshots: %v, %v", got, err)
	}
	if _, err := store.BeginCheckpoint(of, "later"); err == nil {
		t.Error("a checkpoint is replaced")
	}
	for _, name := range []string{"earlier", "later"} {
		if err := store.RemoveCheckpoint(of, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(); got != nil {
		t.Errorf("removed, and listed: %v", got)
	}
}

func TestHostileCheckpointsAreRefused(t *testing.T) {
	paths := layout.Layout{State: t.TempDir(), Runtime: t.TempDir()}.Stack("shop", "/shop")
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".hidden", "-y", "x.part", strings.Repeat("x", 65), "ä", "a\nb"} {
		if state.CheckName(name) == nil {
			t.Errorf("%q is taken for a name", name)
		}
		if _, err := state.ReadCheckpoint(paths, "", name); err == nil {
			t.Errorf("%q is read", name)
		}
	}
	for what, content := range map[string]string{
		"noise":                     "noise",
		"another's name":            `{"format_version": 1, "name": "other"}`,
		"a newer format":            `{"format_version": 9, "name": "x"}`,
		"an ID that leads out":      `{"format_version": 1, "name": "x", "machines": {"vm.a": {"instance": {"id": "../../ab"}}}}`,
		"a file that leads out":     `{"format_version": 1, "name": "x", "machines": {"vm.a": {"instance": {"id": "0000000a"}, "files": ["../x"]}}}`,
		"a volume that leads out":   `{"format_version": 1, "name": "x", "volumes": {"volume.a": {"volume": {"id": "/etc/abc", "format": "raw"}}}}`,
		"a format that is a folder": `{"format_version": 1, "name": "x", "volumes": {"volume.a": {"volume": {"id": "0000000a", "format": "/../x"}}}}`,
	} {
		put(t, filepath.Join(state.CheckpointDir(paths, "", "x"), "manifest.json"), content)
		if _, err := state.ReadCheckpoint(paths, "", "x"); err == nil {
			t.Errorf("%s is read", what)
		}
	}
}
