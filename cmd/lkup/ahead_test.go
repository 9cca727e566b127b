package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/lkup/lkup/internal/state"
)

// What was looked at ahead of the stack files must be what is asked for once
// they are read; else a plan looks at each machine twice.
func TestWhatWasSeenAheadIsOfTheStack(t *testing.T) {
	root := t.TempDir()
	host := Host{
		Getenv: func(name string) string {
			return map[string]string{"LKUP_STATE_DIR": filepath.Join(root, "s"), "LKUP_RUNTIME_DIR": filepath.Join(root, "r")}[name]
		},
		Home: root, TempDir: root,
	}
	dir, err := realDir(root)
	if err != nil {
		t.Fatal(err)
	}
	paths := host.Layout().Stack("shop", dir)
	store, err := state.Lock(t.Context(), paths, state.Owner{
		Stack: "shop", Project: dir, Holder: state.Holder{PID: os.Getpid(), Command: "test"}, Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	seen := lookAhead(t.Context(), host, stackFlags{dirFlag: dirFlag{Dir: root}})
	if _, _, ok := seen.of(paths); !ok {
		t.Errorf("of %+v was seen: %+v", paths, seen.paths)
	}
	if _, _, ok := seen.of(host.Layout().Stack("other", dir)); ok {
		t.Error("it is taken for another stack's")
	}
}
