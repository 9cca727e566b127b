package devenv_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/spec"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestProjects looks at the files of each archive in testdata. want.json is how
// they are served and tested, want.hcl the devenv that fits them.
func TestProjects(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) < 25 {
		t.Errorf("%d projects, %v; want at least 25", len(archives), err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { golden(t, name) })
	}
}

func golden(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	project, want := fstest.MapFS{}, map[string]string{}
	var kept []txtar.File
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want.") {
			want[f.Name] = string(f.Data)
			continue
		}
		kept = append(kept, f)
		project[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	found, err := json.MarshalIndent(struct {
		Servers []devenv.Server
		Testers []devenv.Tester
	}{devenv.Servers(project), devenv.Testers(project)}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"want.json": string(found) + "\n", "want.hcl": string(devenv.Start(project, "", 2))}
	project["lkup.hcl"] = &fstest.MapFile{Data: []byte(got["want.hcl"])}
	if _, _, diags := spec.Load(project, spec.Inputs{DefaultName: "shop", Builtins: []string{"dev"}}); len(diags) > 0 {
		t.Errorf("its devenv is no stack: %v", diags)
	}
	if *update {
		kept = append(kept, txtar.File{Name: "want.json", Data: []byte(got["want.json"])}, txtar.File{Name: "want.hcl", Data: []byte(got["want.hcl"])})
		archive.Files = kept
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestATesterIsFoundByNameThoughOthersComeFirst(t *testing.T) {
	project := fstest.MapFS{"go.mod": {}, "Makefile": {Data: []byte("test:\n\tgo test\n")}}
	for name, want := range map[string]bool{"go": true, "make": true, "task": false} {
		if _, got := devenv.TesterNamed(project, name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestHugeAndBrokenFilesAreNotLookedInto(t *testing.T) {
	project := fstest.MapFS{
		"package.json": {Data: []byte(`{"scripts": {"dev": "vite", "test": "x"}}` + strings.Repeat(" ", 1<<20))},
		"Taskfile.yml": {Data: []byte("a: &a [*a, *a]\ntasks: {test: [}")},
		"Cargo.toml":   {Mode: os.ModeDir},
		"go.mod/x":     {},
	}
	if servers := devenv.Servers(project); len(servers) > 0 {
		t.Error(servers)
	}
}

func TestADirectoryOfTheHostIsTheSameInTheGuest(t *testing.T) {
	for dir, want := range map[string]string{
		"/home/ann/shop":         "/app",
		"/home/ann/shop/web/src": "/app/web/src",
		"/home/ann":              "/app",
		"/home/ann/shopping":     "/app",
		"/home/ann/shop/..a":     "/app/..a",
	} {
		if got := devenv.Guest("/home/ann/shop", dir); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
}

func TestAServersPort(t *testing.T) {
	const tables = `  sl  local_address rem_address   st
   0: 00000000:0016 00000000:0000 0A 0 0
   1: 0100007F:1F90 00000000:0000 0A 0 0
   2: 0100007F:1F91 0100007F:D431 01 0 0
  sl  local_address remote_address st
   0: 00000000000000000000000001000000:14E9 00000000000000000000000000000000:0000 0A 0 0
`
	now := devenv.Listeners(tables)
	if diff := cmp.Diff(map[int]bool{22: true, 8080: true, 5353: true}, now); diff != "" {
		t.Error(diff)
	}
	before := map[int]bool{22: true}
	for expected, want := range map[int]int{8080: 8080, 3000: 5353} {
		if got := devenv.Chosen(before, now, expected); got != want {
			t.Errorf("expected %d: %d, want %d", expected, got, want)
		}
	}
	if got := devenv.Chosen(now, now, 3000); got != 0 {
		t.Errorf("nothing new listens, and %d was chosen", got)
	}
}

func TestWhatToolsLeaveIsNoSource(t *testing.T) {
	for name, want := range map[string]bool{
		"main.py":                   true,
		"src/target.rs":             true,
		"web/catalog.html":          true,
		"node_modules/x/index.js":   false,
		"web/__pycache__/a.cpython": false,
		"target/debug/app":          false,
		"web/server.py~":            false,
		"web/.server.py.swp":        false,
		"web/server.pyc":            false,
		"run.log":                   false,
	} {
		if got := devenv.Source(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestWhatACommandCannotDoWithout(t *testing.T) {
	type tool struct {
		Name     string
		Packages []string
	}
	for command, want := range map[string][]tool{
		"":                             nil,
		"go run .":                     {{"go", []string{"golang-go"}}},
		"python3 app.py -m":            {{"python3", []string{"python3"}}},
		"python3 -m pytest":            {{"python3", []string{"python3"}}, {"pytest", []string{"python3-pytest"}}},
		"python3 -m http.server 8000":  {{"python3", []string{"python3"}}, {"http", nil}},
		"vendor/bin/phpunit --version": {{"vendor/bin/phpunit", nil}},
	} {
		var got []tool
		for _, t := range devenv.Tools(strings.Fields(command)) {
			got = append(got, tool{t.Name, t.Packages})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", command, diff)
		}
	}
}
