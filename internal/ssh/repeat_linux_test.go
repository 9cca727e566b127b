package ssh_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/lkup/lkup/guest"
)

// A guest that is not lkup's has a shell.
func TestChangesAreRepeatedByAShell(t *testing.T) {
	dir := t.TempDir()
	stat := func(path string) *syscall.Stat_t {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t)
	}
	var said guest.Repeat
	add := func(name string, mode uint32) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		said.Changed = append(said.Changed, guest.Changed{Path: path, Mode: mode})
		return path
	}
	heard := []string{add("it's $(a) name", 0o644), add("-x", 0o755)}
	for n := range 450 { // more than one command is given
		heard = append(heard, add(strconv.Itoa(n), 0o644))
	}
	other, owner, target := add("other", 0o644), add("owner", 0o4755), filepath.Join(dir, "target")
	if err := os.Chmod(other, 0o755); err != nil { // after it was described
		t.Fatal(err)
	}
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	said.Changed = append(said.Changed, guest.Changed{Path: filepath.Join(dir, "link"), Mode: 0o777}, guest.Changed{Path: filepath.Join(dir, "gone"), Mode: 0o644})
	before := map[string]syscall.Stat_t{}
	for _, path := range append(heard, other, owner, target) {
		before[path] = *stat(path)
	}
	r, err := connect(t, serve(t, "/bin/sh")).Repeater(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // in one session
		if n, err := r.Repeat(t.Context(), said); n != len(heard) || err != nil {
			t.Fatalf("%d were repeated, want %d: %v", n, len(heard), err)
		}
	}
	for path, was := range before {
		now := *stat(path)
		if now.Mode != was.Mode || now.Mtim != was.Mtim {
			t.Errorf("%s has mode %o and time %v, and had %o and %v", path, now.Mode, now.Mtim, was.Mode, was.Mtim)
		}
		if untouched := path == other || path == owner || path == target; (now.Ctim == was.Ctim) != untouched {
			t.Errorf("%s was touched: %v", path, !untouched)
		}
	}
	over, end := context.WithCancel(t.Context())
	end()
	if _, err := r.Repeat(over, said); err == nil {
		t.Error("after the end changes were repeated")
	}
}
