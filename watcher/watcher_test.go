package watcher_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/watcher"
)

func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

func names(s watcher.Snapshot) map[string]bool {
	all := map[string]bool{}
	for name := range s.Files {
		all[name] = true
	}
	return all
}

func TestWhatGitIgnoresIsNotInASnapshot(t *testing.T) {
	project := fstest.MapFS{
		".gitignore":         {Data: []byte("# built\n*.o\n/dist/\nnode_modules\r\n!keep.o\n")},
		".git/HEAD":          {},
		"a.o":                {},
		"keep.o":             {},
		"main.c":             {},
		"dist/x":             {},
		"sub/dist/x":         {},
		"sub/.gitignore":     {Data: []byte("local\n")},
		"sub/local":          {},
		"local":              {},
		"node_modules/p/i":   {},
		"sub/node_modules/p": {},
		".lkup/state":        {},
		"secret/values":      {},
	}
	project[".gitignore"].Data = append(project[".gitignore"].Data, "secret/\n"...)
	s := watcher.Scanner{Project: project, Skip: map[string]bool{".lkup": true}, ID: inode}
	got, err := s.Scan([]string{"secret/values", "missing/file", "../outside"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		".gitignore": true, "keep.o": true, "main.c": true, "sub/dist/x": true, "sub/.gitignore": true, "local": true, "secret/values": true,
	}
	if diff := cmp.Diff(want, names(got)); diff != "" {
		t.Error(diff)
	}
	if _, listened := got.Dirs["secret"]; !listened {
		t.Error("the directory of a file that counts all the same is not in the snapshot")
	}
}

func TestEveryWayOfChangingFilesIsSeen(t *testing.T) {
	added, edited, removed := watcher.Added, watcher.Edited, watcher.Removed
	tests := []struct {
		name   string
		change func(dir string) error
		want   []watcher.Change
	}{
		{"nothing", func(string) error { return nil }, nil},
		{"edited", func(d string) error { return os.WriteFile(d+"/a", []byte("longer"), 0o600) }, []watcher.Change{{"a", edited}}},
		{"saved by renaming over it, same size and time", func(d string) error {
			if err := os.WriteFile(d+"/.a.swp", []byte("A"), 0o600); err != nil {
				return err
			}
			info, err := os.Stat(d + "/a")
			if err != nil {
				return err
			}
			if err := os.Chtimes(d+"/.a.swp", info.ModTime(), info.ModTime()); err != nil {
				return err
			}
			return os.Rename(d+"/.a.swp", d+"/a")
		}, []watcher.Change{{"a", edited}}},
		{"mode", func(d string) error { return os.Chmod(d+"/a", 0o700) }, []watcher.Change{{"a", edited}}},
		{"touched", func(d string) error { return os.Chtimes(d+"/a", time.Unix(1, 0), time.Unix(1, 0)) }, []watcher.Change{{"a", edited}}},
		{"renamed", func(d string) error { return os.Rename(d+"/a", d+"/b") }, []watcher.Change{{"a", removed}, {"b", added}}},
		{"deleted", func(d string) error { return os.Remove(d + "/sub/c") }, []watcher.Change{{"sub/c", removed}}},
		{"a directory renamed", func(d string) error { return os.Rename(d+"/sub", d+"/other") }, []watcher.Change{{"other/c", added}, {"sub/c", removed}}},
		{"a directory replaced", func(d string) error {
			if err := os.Rename(d+"/sub", d+"/../old"); err != nil {
				return err
			}
			if err := os.Mkdir(d+"/sub", 0o700); err != nil {
				return err
			}
			return os.WriteFile(d+"/sub/new", nil, 0o600)
		}, []watcher.Change{{"sub/c", removed}, {"sub/new", added}}},
		{"a link in the place of a file", func(d string) error {
			if err := os.Remove(d + "/a"); err != nil {
				return err
			}
			return os.Symlink("sub/c", d+"/a")
		}, []watcher.Change{{"a", edited}}},
		{"an empty directory", func(d string) error { return os.Mkdir(d+"/empty", 0o700) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "project")
			if err := os.MkdirAll(dir+"/sub", 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"a": "a", "sub/c": "c"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := watcher.Scanner{Project: os.DirFS(dir), ID: inode}
			before, err := s.Scan(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			after, err := s.Scan(nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, watcher.Compare(before, after)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhichFilesABlockCovers(t *testing.T) {
	tests := []struct {
		paths, ignore []string
		file          string
		below         string
		covered       bool
	}{
		{[]string{"site/**"}, nil, "site/a/b.html", "a/b.html", true},
		{[]string{"site"}, nil, "site/a/b.html", "a/b.html", true},
		{[]string{"site"}, nil, "sites/a", "", false},
		{[]string{"app.py"}, nil, "app.py", "app.py", true},
		{[]string{"conf/app.ini"}, nil, "conf/app.ini", "app.ini", true},
		{[]string{"src/*.go"}, nil, "src/a.go", "a.go", true},
		{[]string{"src/*.go"}, nil, "src/x/a.go", "", false},
		{[]string{"src/**/*.go"}, nil, "src/x/a.go", "x/a.go", true},
		{[]string{"**"}, nil, "a/b", "a/b", true},
		{[]string{"x", "{a,b}/c"}, nil, "b/c", "b/c", true},
		{[]string{"**"}, []string{"*.tmp"}, "a/b.tmp", "", false},
		{[]string{"**"}, []string{"build/"}, "a/build/x", "", false},
		{[]string{"**"}, []string{"/build/"}, "a/build/x", "a/build/x", true},
	}
	for _, tt := range tests {
		below, covered := watcher.NewRule(spec.Watch{Paths: tt.paths, Ignore: tt.ignore}).Covers(tt.file)
		if below != tt.below || covered != tt.covered {
			t.Errorf("%q without %q covers %s: %q, %t; want %q, %t", tt.paths, tt.ignore, tt.file, below, covered, tt.below, tt.covered)
		}
	}
}

func TestWhichChangeLeadsToWhat(t *testing.T) {
	rule := func(action, path string) watcher.Rule {
		return watcher.NewRule(spec.Watch{Action: action, Paths: []string{path}, Command: []string{"reload"}})
	}
	followed := watcher.Followed{
		Files: map[string]bool{"lkup.hcl": true, "web.yml": true, "modules/db/lkup.hcl": true},
		VMs: map[spec.Address][]watcher.Rule{
			"vm.a": {rule(spec.WatchRestart, "etc/**"), rule(spec.WatchRestart, "lib"), rule(spec.WatchSync, "site")},
			"vm.b": {rule(spec.WatchRebuild, "etc"), rule(spec.WatchRestart, "etc"), rule(spec.WatchExec, "app")},
		},
	}
	broken := followed
	broken.Anything = true
	tests := []struct {
		name     string
		followed watcher.Followed
		paths    []string
		want     watcher.Todo
	}{
		{"nothing", broken, nil, watcher.Todo{}},
		{"a file of nobody", followed, []string{"README.md"}, watcher.Todo{}},
		{"a stack file", followed, []string{"lkup.hcl"}, watcher.Todo{Plan: true}},
		{"a new stack file", followed, []string{"more.lkup.hcl"}, watcher.Todo{Plan: true}},
		{"a new stack file of a module", followed, []string{"modules/db/more.lkup.hcl"}, watcher.Todo{Plan: true}},
		{"a stack file of another project", followed, []string{"examples/lkup.hcl"}, watcher.Todo{}},
		{"values", followed, []string{"dev.auto.lkupvars"}, watcher.Todo{Plan: true}},
		{"an input of an image", followed, []string{"web.yml"}, watcher.Todo{Plan: true}},
		{"any file while the stack is broken", broken, []string{"README.md"}, watcher.Todo{Plan: true}},
		{"synced files follow from what the guest has", followed, []string{"site/x"}, watcher.Todo{}},
		{"two blocks, one restart", followed, []string{"lib/x", "etc/x"}, watcher.Todo{Restart: []spec.Address{"vm.a"}, Rebuild: []spec.Address{"vm.b"}}},
		{"a command, once", followed, []string{"app/x", "app/y"}, watcher.Todo{Exec: []watcher.Exec{{VM: "vm.b", Command: []string{"reload"}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var changes []watcher.Change
			for _, p := range tt.paths {
				changes = append(changes, watcher.Change{Path: p, Kind: watcher.Edited})
			}
			got := watcher.Decide(changes, tt.followed)
			if len(got.Restart) == 0 {
				got.Restart = nil
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAGuestIsGivenWhatItLacks(t *testing.T) {
	old, edited := watcher.Entry{Size: 1}, watcher.Entry{Size: 2}
	now := watcher.Snapshot{Files: map[string]watcher.Entry{
		"site/new": old, "site/edited": edited, "site/same": old, "other": old, "site/x.tmp": old,
	}}
	rules := []watcher.Rule{
		watcher.NewRule(spec.Watch{Action: spec.WatchSync, Paths: []string{"site/**"}, Ignore: []string{"*.tmp"}, Target: "/srv"}),
		watcher.NewRule(spec.Watch{Action: spec.WatchRestart, Paths: []string{"other"}}),
	}
	copies, gone := watcher.Pending(rules, now, map[string]watcher.Entry{"/srv/edited": old, "/srv/same": old, "/srv/gone": old})
	if diff := cmp.Diff([]watcher.Copy{{"site/edited", "/srv/edited"}, {"site/new", "/srv/new"}}, copies); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/srv/gone"}, gone); diff != "" {
		t.Error(diff)
	}
}
