package arch_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/arch"
)

var update = flag.Bool("update", false, "rewrite the table in ARCHITECTURE.md")

// repository is the module's root, seen from this folder.
var repository = filepath.Join("..", "..")

func TestTheTreeKeepsTheRules(t *testing.T) {
	found, err := arch.Check(os.DirFS(repository), arch.Rules())
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range found {
		t.Error(violation)
	}
}

func TestTheCheckedTreeIsThisOne(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "module " + arch.Module + "\n"; !strings.HasPrefix(string(mod), want) {
		t.Errorf("go.mod does not begin with %q", want)
	}
}

func TestNeverNamesKnownCapabilities(t *testing.T) {
	for _, r := range arch.Rules() {
		for _, name := range r.Never {
			if _, known := arch.Capabilities()[name]; !known {
				t.Errorf("%s: %q is not a capability", r.Package, name)
			}
		}
	}
}

func TestArchitecturePageShowsTheTable(t *testing.T) {
	const begin, end = "<!-- table: internal/arch/rules.go -->\n", "<!-- end of table -->"
	name := filepath.Join(repository, "ARCHITECTURE.md")
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("ARCHITECTURE.md has no table between %q and %q", begin, end)
	}
	want := arch.Table(arch.Rules())
	if *update {
		if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ARCHITECTURE.md differs from internal/arch/rules.go (-rules +page); run go test ./internal/arch -update\n%s", diff)
	}
}

func TestCheckFindsViolations(t *testing.T) {
	const ours = `import _ "` + arch.Module + `/`
	rules := []arch.Rule{
		{Package: "spec", Never: []string{"os", "net", "clock"}},
		{Package: "planner", Ours: []string{"spec"}, Never: []string{"io", "rand", "clock"}},
		{Package: "cmd/lkup", Ours: []string{"*"}},
	}
	tests := []struct {
		name string
		file string
		src  string
		want []string
	}{
		{"a package that keeps the rules", "spec/a.go",
			"package spec\nimport (\n\"net/url\"\n\"time\"\n)\nvar table = map[string]int{}\nvar _ = time.Second\nvar _ url.URL\nfunc f() int { table := map[string]int{}; table[\"a\"] = 1; return table[\"a\"] }", nil},
		{"an import that is not allowed", "spec/a.go",
			"package spec\n" + ours + "planner\"",
			[]string{"spec/a.go:2: spec may not import planner"}},
		{"a driver beside the contract", "planner/a.go",
			"package planner\n" + ours + "spec/deep\"",
			[]string{"planner/a.go:2: planner may not import spec/deep"}},
		{"everything where all is allowed", "cmd/lkup/a.go",
			"package main\n" + ours + "planner\"\nimport _ \"os\"", nil},
		{"a denied power", "spec/a.go",
			"package spec\nimport _ \"os\"\nimport _ \"net/http\"",
			[]string{"spec/a.go:2: spec may not import os (never os)", "spec/a.go:3: spec may not import net/http (never net)"}},
		{"a denied power below another", "planner/a.go",
			"package planner\nimport _ \"math/rand/v2\"\nimport _ \"io/fs\"",
			[]string{"planner/a.go:2: planner may not import math/rand/v2 (never rand)", "planner/a.go:3: planner may not import io/fs (never io)"}},
		{"a denied power behind a build tag", "spec/a_windows.go",
			"//go:build windows\n\npackage spec\nimport _ \"os\"",
			[]string{"spec/a_windows.go:4: spec may not import os (never os)"}},
		{"the clock", "planner/a.go",
			"package planner\nimport \"time\"\nvar d = time.Second\nfunc f() { time.Sleep(d) }",
			[]string{"planner/a.go:4: planner may not use time.Sleep (never clock)"}},
		{"the clock by another name", "planner/a.go",
			"package planner\nimport t \"time\"\nvar now = t.Now()",
			[]string{"planner/a.go:3: planner may not use time.Now (never clock)"}},
		{"an unlisted package", "extra/a.go",
			"package extra",
			[]string{"extra is not in the import table: add it to internal/arch/rules.go"}},
		{"a name that says nothing", "util/a.go",
			"package util",
			[]string{"util is not in the import table: add it to internal/arch/rules.go", `util: a folder named "util" says nothing about what is in it`}},
		{"a package clause that says nothing", "spec/a.go",
			"package helpers",
			[]string{`spec/a.go:1: a package named "helpers" says nothing about what is in it`}},
		{"an init function", "spec/a.go",
			"package spec\nfunc init() {}\ntype t int\nfunc (t) init() {}",
			[]string{"spec/a.go:2: no init functions: wire it in cmd/lkup"}},
		{"an assigned variable", "spec/a.go",
			"package spec\nvar count int\nfunc f() { count++ }",
			[]string{"spec/a.go:3: package-level variable count is assigned: pass it instead"}},
		{"an assigned element", "spec/a.go",
			"package spec\nvar drivers = map[string]int{}\nfunc f() { drivers[\"a\"] = 1; delete(drivers, \"b\") }",
			[]string{"spec/a.go:3: package-level variable drivers is assigned: pass it instead", "spec/a.go:3: package-level variable drivers is changed by delete: pass it instead"}},
		{"an address given away", "spec/a.go",
			"package spec\nvar verbose bool\nfunc f() *bool { return &verbose }",
			[]string{"spec/a.go:3: package-level variable verbose has its address taken: pass it instead"}},
		{"a variable that exists to change", "spec/a.go",
			"package spec\nimport \"sync\"\nvar once sync.Once\nvar mu = &sync.Mutex{}",
			[]string{"spec/a.go:3: package-level variable once is a sync.Once: pass it instead", "spec/a.go:4: package-level variable mu is a sync.Mutex: pass it instead"}},
		{"test files may do as they like", "spec/a_test.go",
			"package spec\nimport _ \"os\"\nvar n int\nfunc init() { n = 1 }", nil},
		{"testdata is not ours", "spec/testdata/util/a.go",
			"package util", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{
				"spec/doc.go":     {Data: []byte("package spec")},
				"planner/doc.go":  {Data: []byte("package planner")},
				"cmd/lkup/doc.go": {Data: []byte("package main")},
				tt.file:           {Data: []byte(tt.src)},
			}
			got, err := arch.Check(tree, rules)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("violations (-want +got)\n%s", diff)
			}
		})
	}
}

func TestCheckResolvesVariablesAcrossFiles(t *testing.T) {
	tree := fstest.MapFS{
		"spec/a.go": {Data: []byte("package spec\nvar table = map[string]int{}")},
		"spec/b.go": {Data: []byte("package spec\nfunc f() { table[\"a\"] = 1 }\nfunc g() { var table map[string]int; table[\"a\"] = 1 }")},
	}
	got, err := arch.Check(tree, []arch.Rule{{Package: "spec"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"spec/b.go:2: package-level variable table is assigned: pass it instead"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got)\n%s", diff)
	}
}

func TestCheckFindsRulesForPackagesThatAreNotThere(t *testing.T) {
	got, err := arch.Check(fstest.MapFS{}, []arch.Rule{{Package: "spec"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"spec is in the import table and not in the tree"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got)\n%s", diff)
	}
}
