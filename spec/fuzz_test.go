package spec_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"golang.org/x/tools/txtar"

	"github.com/lkup/lkup/spec"
)

// FuzzLoad holds for any text in native syntax: Load ends, and gives either a
// sound stack or mistakes that name their place; twice the same.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(twinHCL))
	seed(f, ".hcl")
	for _, src := range oddities {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) { load(t, "lkup.hcl", src) })
}

// FuzzLoadJSON holds the same for JSON syntax.
func FuzzLoadJSON(f *testing.F) {
	f.Add([]byte(twinJSON))
	seed(f, ".json")
	for _, src := range []string{"", "{", "[]", `{"vm": [{"a": []}]}`, `{"vm": {"a": {"image": "${", "port": null}}}`, `{"//": 1, "locals": [{"a": "%{if true}x%{endif}"}]}`} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) { load(t, "lkup.json", src) })
}

// seed adds the stack files of the goldens.
func seed(f *testing.F, suffix string) {
	for _, glob := range []string{"testdata/*.txtar", "testdata/mistakes/*.txtar"} {
		archives, err := filepath.Glob(glob)
		if err != nil || len(archives) == 0 {
			f.Fatal(glob, err)
		}
		for _, name := range archives {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range archive.Files {
				if spec.IsStackFile(filepath.Base(file.Name)) && strings.HasSuffix(file.Name, suffix) {
					f.Add(file.Data)
				}
			}
		}
	}
}

func load(t *testing.T, name string, src []byte) {
	if tooLarge(src) {
		t.Skip()
	}
	project := fstest.MapFS{
		name: {Data: src}, "web.yml": {}, "page.tpl": {Data: []byte("${name}")},
		"modules/a/lkup.hcl": {Data: []byte("variable \"memory\" {}\nvm \"web\" {\n image = \"builtin:minimal\"\n memory = var.memory\n}\noutput \"name\" { value = vm.web.hostname }\nmodule \"again\" { source = \"../..\" }")},
	}
	stack, files, diags := spec.Load(project, inputs())
	again, _, diagsAgain := spec.Load(project, inputs())
	text := rendered(t, files, diags)
	if diff := cmp.Diff(text, rendered(t, files, diagsAgain)); diff != "" {
		t.Errorf("loaded twice:\n%s", diff)
	}
	if diff := cmp.Diff(stack, again); diff != "" {
		t.Errorf("loaded twice:\n%s", diff)
	}
	checkDiagnostics(t, stack, diags)
	if stack != nil {
		checkSound(t, stack)
	}
	if out, diags := spec.Format(name, src); !diags.HasErrors() {
		if twice, diags := spec.Format(name, out); diags.HasErrors() || string(twice) != string(out) {
			t.Errorf("formatting twice gives\n%s\nafter\n%s", twice, out)
		}
	}
}

// tooLarge keeps the fuzzer from numbers that only cost time and memory.
func tooLarge(src []byte) bool {
	digits := 0
	for _, c := range src {
		if c < '0' || c > '9' {
			digits = 0
			continue
		}
		if digits++; digits > 5 {
			return true
		}
	}
	return len(src) > 10_000 || strings.Count(string(src), "range") > 2 || strings.Contains(string(src), "pow")
}

var oddities = []string{
	"",
	"vm \"a\" {}",
	"vm \"\" { image = \"builtin:minimal\" }",
	"locals { a = [for x in local.a : x] }",
	"locals { a = { for k, v in toset([1, null]) : k => v } }\noutput \"a\" { value = local.a }",
	"variable \"v\" { type = object({ a = optional(number, \"x\") }) }",
	"variable \"v\" {\n type = any\n default = sensitive([sensitive(1)])\n}\noutput \"a\" { value = var.v[0] }",
	"vm \"a\" {\n for_each = sensitive({ a = 1 })\n image = \"builtin:minimal\"\n}",
	"vm \"a\" {\n for_each = { a = sensitive(1) }\n image = \"builtin:minimal\"\n cpus = each.value\n}",
	"vm \"a\" {\n for_each = toset([for x in [1] : sensitive(\"x\")])\n image = \"builtin:minimal\"\n}",
	"vm \"a\" {\n image = \"builtin:minimal\"\n env = sensitive({ A = sensitive(1) })\n}\noutput \"b\" {\n value = vm.a\n sensitive = true\n}",
	"vm \"a\" {\n image = \"builtin:minimal\"\n port { guest = sensitive(80) }\n running = sensitive(true)\n memory = sensitive(\"1GiB\")\n}",
	"vm \"a\" {\n image = \"builtin:minimal\"\n env = [1]\n}\nvm \"b\" {\n image = vm.a\n count = vm.a.port[1]\n}",
	"vm \"a\" {\n count = 1.5\n image = \"builtin:minimal\"\n}\nvm \"b\" {\n count = 1e9\n image = \"builtin:minimal\"\n}",
	"vm \"a\" {\n image = \"builtin:minimal\"\n port { guest = 80 }\n}\nvm \"b\" {\n for_each = toset([vm.a.port[80]])\n image = \"builtin:minimal\"\n}\noutput \"o\" { value = [sum([vm.a.port[80]]), index([vm.a.port[80]], 1), transpose({ a = [tostring(vm.a.port[80])] }), one(toset([vm.a.port[80]])), length(toset([vm.a.port[80], 1])), alltrue([vm.a.port[80] > 1]), matchkeys([1], [vm.a.port[80]], [1]), jsonencode(vm.a), yamlencode(vm.a), coalesce(vm.a.port[80], 1), lookup(vm.a.port, \"80\"), templatefile(\"page.tpl\", { name = vm.a.port[80] })] }",
	"output \"o\" { value = toset([each]) }",
	"output \"o\" { value = 1/0 }",
	"output \"o\" { value = range(1/0) }",
	"output \"o\" { value = \"${vm}\" }",
	"output \"o\" { value = vm.a[*] }",
	"output \"o\" { value = templatefile(\"page.tpl\", sensitive({ name = 1 })) }",
	"output \"o\" { value = tolist([null, null]) }",
	"output \"o\" { value = toset([sensitive(\"a\"), \"b\"]) }",
	"stack \"a\" { required_version = null }",
	"stack \"a\" { required_version = sensitive(\">= 0.1\") }",
	"variable \"v\" {\n default = 1\n validation {\n condition = null\n error_message = null\n}\n}",
	"variable \"v\" {\n default = 1\n validation {\n condition = false\n error_message = sensitive(\"x\")\n}\n}",
	"variable \"v\" {\n default = null\n nullable = false\n}\noutput \"o\" { value = var.v }",
	"vm \"a\" {\n image = \"builtin:minimal\"\n depends_on = [vm.a]\n}",
	"vm \"a\" {\n image = \"builtin:minimal\"\n depends_on = [vm.b[0]]\n}\nvm \"b\" {\n image = \"builtin:minimal\"\n count = 0\n}",
	"vm \"a\" {\n image = \"builtin:minimal\"\n ready {\n exec = [null]\n log = null\n}\n}",
	"module \"a\" {\n source = \"./modules/a\"\n memory = sensitive(\"1GiB\")\n for_each = toset([\"x\"])\n}\noutput \"o\" { value = module.a[\"x\"].name }",
	"volume \"d\" {\n size = \"1GiB\"\n count = 2\n}\nvm \"a\" {\n image = \"builtin:minimal\"\n dynamic \"mount\" {\n for_each = volume.d\n content { volume = mount.value }\n}\n lifecycle {\n ignore_changes = [env[\"A\"], port[80]]\n replace_triggered_by = [volume.d[0].size]\n}\n}",
	"secret \"s\" { env = \"A\" }\nvm \"a\" {\n image = \"builtin:minimal\"\n env = { A = secret.s, B = \"${secret.s}x\" }\n labels = { a = secret.s }\n}\ncheck \"c\" {\n assert {\n condition = secret.s == \"\"\n error_message = secret.s\n}\n}",
	"moved {\n from = vm.a\n to = vm.b\n}\nmoved {\n from = vm.b\n to = vm.a[0]\n}\nremoved { from = module.x }\nprofile \"p\" { members = [vm.a, module.x] }\nimport {\n to = vm.a\n from = \"\"\n}",
	"image \"a\" {\n source = 5\n sha256 = true\n}\nvm \"v\" { image = [image.a][0] }",
}

// checkDiagnostics: every mistake has a place and says something, and no two
// are the same.
func checkDiagnostics(t *testing.T, stack *spec.Stack, diags hcl.Diagnostics) {
	t.Helper()
	if (stack == nil) != diags.HasErrors() {
		t.Errorf("stack is nil: %v; errors: %v", stack == nil, diags.HasErrors())
	}
	type at struct {
		hcl.Range
		summary string
	}
	seen := map[at]bool{}
	for _, d := range diags {
		if d.Subject == nil || d.Subject.Filename == "" || d.Summary == "" || d.Detail == "" {
			t.Errorf("no place or no words: %+v", d)
			continue
		}
		key := at{*d.Subject, d.Summary}
		if seen[key] {
			t.Errorf("twice: %s", d)
		}
		seen[key] = true
	}
}

// checkSound: a stack keeps what its comment promises.
func checkSound(t *testing.T, stack *spec.Stack) {
	t.Helper()
	names := map[string]spec.Address{}
	for _, a := range stack.Addresses() {
		vm := stack.VMs[a]
		if vm.Address != a || vm.Name == "" || len(vm.Name) > 63 {
			t.Errorf("%s is %s with name %q", a, vm.Address, vm.Name)
		}
		if other, twice := names[vm.Name]; twice {
			t.Errorf("%s and %s are both %q", a, other, vm.Name)
		}
		names[vm.Name] = a
		if _, ok := stack.Images[vm.Image]; !ok {
			t.Errorf("%s has image %q, which is not there", a, vm.Image)
		}
		for _, m := range vm.Mounts {
			if _, ok := stack.Volumes[m.Volume]; !ok {
				t.Errorf("%s mounts %s, which is not there", a, m.Volume)
			}
		}
		for _, dep := range vm.DependsOn {
			if _, ok := stack.VMs[dep]; !ok {
				t.Errorf("%s depends on %s, which is not there", a, dep)
			}
		}
		for path := range vm.Origins {
			if pos := vm.Origin(path); pos.File == "" || pos.Line < 1 {
				t.Errorf("%s: %q comes from %+v", a, path, pos)
			}
		}
	}
	for a, v := range stack.Volumes {
		if v.Address != a || v.Size < 1 || v.Name == "" {
			t.Errorf("%s is %+v", a, v)
		}
	}
	for a, img := range stack.Images {
		if (img.Source == "") == (img.Template == nil) || img.Address != a {
			t.Errorf("%s is %+v", a, img)
		}
	}
}

// TestGoldensHoldManyMistakes counts the different things that the goldens of
// mistakes say.
func TestGoldensHoldManyMistakes(t *testing.T) {
	archives, err := filepath.Glob("testdata/bad-*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		project, in, _ := unpack(t, archive)
		stack, _, diags := spec.Load(project, in)
		if strings.Contains(name, "no-stack-file") {
			continue // there is no place to name
		}
		checkDiagnostics(t, stack, diags)
		for _, d := range diags {
			said[d.Summary+d.Detail] = true
		}
		if strings.Contains(name, "five-mistakes") && len(diags) != 5 {
			t.Errorf("five mistakes give %d diagnostics", len(diags))
		}
	}
	if len(said) < 150 {
		t.Errorf("the goldens hold %d different mistakes", len(said))
	}
}
