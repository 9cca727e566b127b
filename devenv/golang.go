package devenv

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// goPort finds the port of http.ListenAndServe(":8080", ...), Addr: ":8080" and
// net.Listen("tcp", ":8080").
const goPort = `(?:ListenAndServe(?:TLS)?\(\s*|Addr:\s*|Listen\(\s*"tcp",\s*)"[^":\s]*:(\d{2,5})"`

func goServer(t tree) (Server, bool) {
	if !t.has("go.mod") {
		return Server{}, false
	}
	dir, why := t.goMain()
	if dir == "" {
		return Server{}, false
	}
	target := "."
	if dir != "." {
		target = "./" + dir
	}
	port, where := t.portIn(t.files(dir, "*.go"), goPort, 8080)
	return Server{Kind: "go", Command: []string{"go", "run", target}, Port: port, Why: said(why, port, where)}, true
}

// goMain is the directory of the program that serves: the project's own, or one
// of cmd.
func (t tree) goMain() (dir, why string) {
	if t.isGoMain(".") {
		return ".", "go.mod, and package main beside it"
	}
	entries, err := fs.ReadDir(t, "cmd")
	if err != nil {
		return "", ""
	}
	var mains []string
	for _, entry := range entries {
		if entry.IsDir() && t.isGoMain(path.Join("cmd", entry.Name())) {
			mains = append(mains, path.Join("cmd", entry.Name()))
		}
	}
	switch len(mains) {
	case 0:
		return "", ""
	case 1:
		return mains[0], "go.mod, and " + mains[0] + " is its only program"
	}
	for _, name := range []string{"server", "serve", "web", "api", "app", path.Base(t.goModule())} {
		if at := slices.Index(mains, path.Join("cmd", name)); at >= 0 {
			return mains[at], "go.mod, and of its programs " + quoted(mains) + " the one whose name says that it serves"
		}
	}
	return mains[0], "go.mod, and the first of its programs " + quoted(mains)
}

func (t tree) goModule() string {
	for line := range strings.Lines(t.text("go.mod")) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "module "); found {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return ""
}

func (t tree) isGoMain(dir string) bool {
	form := regexp.MustCompile(`(?m)^package main\b`)
	return slices.ContainsFunc(t.files(dir, "*.go"), func(name string) bool {
		return !strings.HasSuffix(name, "_test.go") && form.MatchString(t.text(name))
	})
}

func goTests(t tree) (Tester, bool) {
	return Tester{
		Name: "go", Command: []string{"go", "test", "./..."}, Why: "go.mod",
		Report: Report{Format: "json", Args: []string{"-json"}, Stdout: true},
	}, t.has("go.mod")
}
