package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/spec"
)

// TestFunctions compares each expression with another that says the result.
func TestFunctions(t *testing.T) {
	tests := []struct{ expr, want string }{
		{`abs(-3)`, `3`},
		{`alltrue([true, true])`, `true`},
		{`alltrue([true, false])`, `false`},
		{`alltrue([])`, `true`},
		{`anytrue([false, true])`, `true`},
		{`anytrue([])`, `false`},
		{`base64decode("aGk=")`, `"hi"`},
		{`base64encode("hi")`, `"aGk="`},
		{`base64sha256("hi")`, `"j0NDRmSPa5bfid2pAcUXaxCm2Dlh3TwayItZstwyeqQ="`},
		{`basename("a/b.txt")`, `"b.txt"`},
		{`can(tonumber("x"))`, `false`},
		{`ceil(1.2)`, `2`},
		{`chomp("a\n\n")`, `"a"`},
		{`chunklist(["a", "b", "c"], 2)`, `[["a", "b"], ["c"]]`},
		{`coalesce("", null, "x")`, `"x"`},
		{`coalesce(null, 0, 1)`, `0`},
		{`coalescelist([], ["a"])`, `["a"]`},
		{`compact(["a", "", "b"])`, `["a", "b"]`},
		{`concat([1], ["a"])`, `[1, "a"]`},
		{`contains(["a"], "a")`, `true`},
		{`csvdecode("a,b\n1,2")`, `[{ a = "1", b = "2" }]`},
		{`dirname("a/b.txt")`, `"a"`},
		{`distinct(["a", "b", "a"])`, `["a", "b"]`},
		{`element(["a", "b"], 3)`, `"b"`},
		{`endswith("abc", "bc")`, `true`},
		{`file("hello.txt")`, `"Hello\n"`},
		{`file("./sub/../hello.txt")`, `"Hello\n"`},
		{`file("${path.root}/hello.txt")`, `"Hello\n"`},
		{`filebase64("binary.dat")`, `"/wA="`},
		{`fileexists("hello.txt")`, `true`},
		{`fileexists("nothing.txt")`, `false`},
		{`fileexists("site")`, `false`},
		{`filesha256("hello.txt")`, `"66a045b452102c59d840ec097d59d9467e13a3f34f6494e539ffd32c1bb35f18"`},
		{`filemd5("hello.txt")`, `"09f7e02f1290be211da707a266f153b3"`},
		{`fileset("site", "**")`, `["a.html", "deep/b.html"]`},
		{`fileset(".", "site/*.html")`, `["site/a.html"]`},
		{`fileset("site", "*.css")`, `[]`},
		{`flatten([["a"], [["b"]]])`, `["a", "b"]`},
		{`floor(1.8)`, `1`},
		{`format("%s-%03d", "a", 7)`, `"a-007"`},
		{`formatdate("YYYY", "2020-01-02T03:04:05Z")`, `"2020"`},
		{`formatlist("%s!", ["a", "b"])`, `["a!", "b!"]`},
		{`indent(2, "a\nb")`, `"a\n  b"`},
		{`index(["a", "b"], "b")`, `1`},
		{`issensitive(sensitive("x"))`, `true`},
		{`join(",", ["a", "b"])`, `"a,b"`},
		{`jsondecode("{\"a\": [1]}")`, `{ a = [1] }`},
		{`jsonencode({ a = 1 })`, `"{\"a\":1}"`},
		{`keys({ b = 1, a = 2 })`, `["a", "b"]`},
		{`length("größe")`, `5`},
		{`length([1, 2])`, `2`},
		{`length({ a = 1 })`, `1`},
		{`length(toset(["a", "a"]))`, `1`},
		{`log(8, 2)`, `3`},
		{`lookup({ a = 1 }, "a")`, `1`},
		{`lookup({ a = 1 }, "b", 2)`, `2`},
		{`lower("AB")`, `"ab"`},
		{`matchkeys(["x", "y"], ["a", "b"], ["b"])`, `["y"]`},
		{`max(1, 3, 2)`, `3`},
		{`md5("hi")`, `"49f68a5c8493ec2c0bf489821c21fc3b"`},
		{`merge({ a = 1 }, { b = 2 })`, `{ a = 1, b = 2 }`},
		{`min(3, 1)`, `1`},
		{`nonsensitive(sensitive("x"))`, `"x"`},
		{`one(["a"])`, `"a"`},
		{`one([])`, `null`},
		{`parseint("ff", 16)`, `255`},
		{`pow(2, 10)`, `1024`},
		{`range(3)`, `[0, 1, 2]`},
		{`range(1, 7, 3)`, `[1, 4]`},
		{`range(2, 0)`, `[2, 1]`},
		{`range(0)`, `[]`},
		{`length(range(20000))`, `20000`},
		{`regex("[a-z]+", "12ab")`, `"ab"`},
		{`regexall("[a-z]", "1a2b")`, `["a", "b"]`},
		{`regexreplace("a1", "[0-9]", "x")`, `"ax"`},
		{`replace("a+b", "+", "-")`, `"a-b"`},
		{`replace("a1b2", "/[0-9]/", "x")`, `"axbx"`},
		{`reverse(["a", "b"])`, `["b", "a"]`},
		{`setintersection(["a", "b"], ["b"])`, `["b"]`},
		{`setproduct(["a"], ["x", "y"])`, `[["a", "x"], ["a", "y"]]`},
		{`setsubtract(["a", "b"], ["b"])`, `["a"]`},
		{`setunion(["a"], ["b"])`, `["a", "b"]`},
		{`sha1("hi")`, `"c22b5f9178342609428d6f51b2c5af4c0bde6a42"`},
		{`sha256("hi")`, `"8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"`},
		{`substr(sha512("hi"), 0, 8)`, `"150a14ed"`},
		{`signum(-4)`, `-1`},
		{`slice(["a", "b", "c"], 1, 2)`, `["b"]`},
		{`sort(["b", "a"])`, `["a", "b"]`},
		{`split(",", "a,b")`, `["a", "b"]`},
		{`startswith("abc", "ab")`, `true`},
		{`strcontains("abc", "bc")`, `true`},
		{`strlen("größe")`, `5`},
		{`strrev("ab")`, `"ba"`},
		{`substr("hello", 1, 3)`, `"ell"`},
		{`sum([1, 2.5])`, `3.5`},
		{`templatefile("page.tpl", { name = "you", n = 2 })`, `"Hi you: 2, %%{ YOU\n"`},
		{`timeadd("2020-01-01T00:00:00Z", "1h")`, `"2020-01-01T01:00:00Z"`},
		{`title("a b")`, `"A B"`},
		{`tobool("true")`, `true`},
		{`tolist(["a", 1])`, `["a", "1"]`},
		{`tolist(["a", "b"])`, `["a", "b"]`},
		{`tolist([])`, `[]`},
		{`tomap({ a = 1, b = "x" })`, `{ a = "1", b = "x" }`},
		{`tonumber("7")`, `7`},
		{`toset(["b", "a", "b"])`, `["a", "b"]`},
		{`toset([{ a = 1 }, { a = 1 }])`, `[{ a = 1 }]`},
		{`toset([])`, `[]`},
		{`tostring(7)`, `"7"`},
		{`transpose({ a = ["x", "y"], b = ["x"] })`, `{ x = ["a", "b"], y = ["a"] }`},
		{`trim("?a?", "?")`, `"a"`},
		{`trimprefix("abc", "ab")`, `"c"`},
		{`trimspace(" a ")`, `"a"`},
		{`trimsuffix("abc", "bc")`, `"a"`},
		{`try(tonumber("x"), 3)`, `3`},
		{`try(file("nothing.txt"), "none")`, `"none"`},
		{`try(vm.nobody["x"].name, "none")`, `"none"`},
		{`upper("a")`, `"A"`},
		{`urlencode("a b&c")`, `"a+b%26c"`},
		{`values({ b = 1, a = 2 })`, `[2, 1]`},
		{`yamldecode("a: [1, x]")`, `{ a = [1, "x"] }`},
		{`yamlencode({ a = 1 })`, `"\"a\": 1\n"`},
		{`zipmap(["a"], [1])`, `{ a = 1 }`},
	}
	var src strings.Builder
	src.WriteString("vm \"nobody\" {\n  for_each = {}\n  image = \"builtin:minimal\"\n}\n")
	for n, tt := range tests {
		fmt.Fprintf(&src, "output \"got%d\" { value = nonsensitive(%s) }\noutput \"want%d\" { value = %s }\n", n, tt.expr, n, tt.want)
	}
	stack := mustLoad(t, fstest.MapFS{
		"lkup.hcl":         {Data: []byte(src.String())},
		"hello.txt":        {Data: []byte("Hello\n")},
		"binary.dat":       {Data: []byte{0xff, 0}},
		"page.tpl":         {Data: []byte("Hi ${name}: ${n}, %%{ ${upper(name)}\n")},
		"site/a.html":      {},
		"site/deep/b.html": {},
	})
	for n, tt := range tests {
		got, want := stack.Outputs[fmt.Sprintf("got%d", n)], stack.Outputs[fmt.Sprintf("want%d", n)]
		if diff := cmp.Diff(want.Value, got.Value); diff != "" || !got.Known {
			t.Errorf("%s: -want +got\n%s", tt.expr, diff)
		}
	}
	want := []string{"binary.dat", "hello.txt", "lkup.hcl", "page.tpl"}
	if diff := cmp.Diff(want, stack.Files); diff != "" {
		t.Errorf("files read: -want +got\n%s", diff)
	}
}

func TestFunctionMistakes(t *testing.T) {
	tests := []struct{ expr, want string }{
		{`file("binary.dat")`, "not text"},
		{`file("a/../../b")`, "leads out of the project"},
		{`file("")`, "the path is empty"},
		{`file("site")`, "cannot be read"},
		{`fileexists("../x")`, "leads out of the project"},
		{`fileset("..", "*")`, "leads out of the project"},
		{`fileset("site", "/etc/*")`, "leads out of the directory"},
		{`fileset("site", "a/../../*")`, "leads out of the directory"},
		{`filesha256("/etc/passwd")`, "absolute"},
		{`templatefile("loop.tpl", {})`, "no function named"},
		{`templatefile("hello.txt", null)`, "argument must not be null"},
		{`base64decode("?")`, "not base64"},
		{`index(["a"], "b")`, "no such item"},
		{`lookup({ a = 1 }, "b")`, "no element"},
		{`one(["a", "b"])`, "no more than one"},
		{`range(0, 10, -1)`, "never reach"},
		{`range(0, 10, 0)`, "never reach"},
		{`range(1000000)`, "more than 100000"},
		{`replace("a", "/(/", "b")`, "missing closing"},
		{`sum([])`, "no sum"},
		{`sum(["x"])`, "list of numbers"},
		{`coalesce(null, "")`, "anything but null"},
		{`length(5)`, "a string, a list"},
		{`toset("a")`, "cannot convert"},
	}
	for _, tt := range tests {
		_, files, diags := spec.Load(fstest.MapFS{
			"lkup.hcl":    {Data: fmt.Appendf(nil, `output "x" { value = %s }`, tt.expr)},
			"binary.dat":  {Data: []byte{0xff, 0}},
			"hello.txt":   {Data: []byte("Hello\n")},
			"loop.tpl":    {Data: []byte(`${templatefile("loop.tpl", {})}`)},
			"site/a.html": {},
		}, inputs())
		text := strings.Join(strings.Fields(rendered(t, files, diags)), " ")
		if len(diags) != 1 || !strings.Contains(text, tt.want) {
			t.Errorf("%s: want a mistake with %q, got\n%s", tt.expr, tt.want, text)
		}
	}
}

func TestFilesStayInsideTheProjectEvenThroughLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.txt")
	write(t, outside, "secret")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "lkup.hcl"), `
template "t" { file = "link.yml" }
vm "a" { image = template.t }
output "x" { value = file("link.yml") }
output "y" { value = fileexists("link.yml") }
`)
	if err := os.Symlink(outside, filepath.Join(dir, "link.yml")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	stack, files, diags := spec.Load(root.FS(), inputs())
	if stack != nil || len(diags) != 3 {
		t.Errorf("want 3 mistakes, got\n%s", rendered(t, files, diags))
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
