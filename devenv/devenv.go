// Package devenv finds out how a project is served and tested, and makes the
// commands of the sessions in its machine.
//
// It is pure: it reads through the fs.FS it is given, runs nothing, and gives
// the same answer for the same files. What it finds is a guess with a reason,
// so that a person can see why and say otherwise.
package devenv

import (
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Server is one way to serve a project.
type Server struct {
	Kind    string   `json:"kind"` // "go", "node", "django": what --as takes
	Command []string `json:"command"`
	Port    int      `json:"port"`          // of the guest, that it most likely listens on
	Env     []string `json:"env,omitempty"` // NAME=VALUE
	// Reloads says that the server notices changes of files itself.
	Reloads bool   `json:"reloads"`
	Why     string `json:"why"`
}

// Tester is one way to test a project.
type Tester struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Why     string   `json:"why"`
	// Report is what the tool can be asked for besides its output.
	Report Report `json:"report,omitzero"`
}

// Report says how a tool writes its results for programs.
type Report struct {
	Format string   `json:"format,omitempty"` // "junit" or "json"; empty: it cannot
	Args   []string `json:"args,omitempty"`   // to add to the command; ReportPath in it is where it is written
	// Stdout says that it is written to stdout, in place of what people read.
	Stdout bool `json:"stdout,omitempty"`
}

// ReportPath stands in Report.Args for the path of the report.
const ReportPath = "{report}"

// mostRead bounds a file that is looked into: projects may be hostile.
const mostRead = 1 << 20

// tree is a project that is looked at.
type tree struct{ fs.FS }

// text is a file's content, or empty if it is not there, no file, or very large.
func (t tree) text(name string) string {
	info, err := fs.Stat(t, name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > mostRead {
		return ""
	}
	content, err := fs.ReadFile(t, name)
	if err != nil {
		return ""
	}
	return string(content)
}

func (t tree) has(name string) bool {
	_, err := fs.Stat(t, name)
	return err == nil
}

// first is the first of some names that is there, or "".
func (t tree) first(names ...string) string {
	for _, name := range names {
		if t.has(name) {
			return name
		}
	}
	return ""
}

// mostFiles bounds how many files of one directory are looked into.
const mostFiles = 200

// files are the names in a directory that match a pattern of package path.
func (t tree) files(dir, pattern string) []string {
	entries, err := fs.ReadDir(t, dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if ok, _ := path.Match(pattern, entry.Name()); ok && !entry.IsDir() && len(names) < mostFiles {
			names = append(names, path.Join(dir, entry.Name()))
		}
	}
	return names
}

// portIn is the port that a pattern's only group finds in some files, or
// otherwise, with where it stands.
func (t tree) portIn(files []string, pattern string, otherwise int) (port int, where string) {
	form := regexp.MustCompile(pattern)
	for _, name := range files {
		if m := form.FindStringSubmatch(t.text(name)); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil && n > 0 && n < 65536 {
				return n, name
			}
		}
	}
	return otherwise, ""
}

// said adds a sentence about the port, if there is anything to say.
func said(why string, port int, where string) string {
	if where == "" {
		return why + "; its port is a guess"
	}
	return why + "; port " + strconv.Itoa(port) + " stands in " + where
}

// Servers are the ways to serve a project, the likeliest first.
func Servers(project fs.FS) []Server {
	t := tree{project}
	var all []Server
	for _, look := range []func(tree) (Server, bool){
		laravel, rails, django, goServer, nodeServer, fastAPI, flask, pythonServer, rustServer, rack, phpServer, static,
	} {
		if s, found := look(t); found {
			all = append(all, s)
		}
	}
	return all
}

// Testers are the ways to test a project. What only calls other tools is left
// out if one of those was found.
func Testers(project fs.FS) []Tester {
	t := tree{project}
	all := found(t, goTests, nodeTests, pythonTests, phpTests, rustTests, rubyTests)
	if len(all) > 0 {
		return all
	}
	return found(t, taskTests, makeTests)
}

// TesterNamed finds a tester by name, also one that Testers leaves out.
func TesterNamed(project fs.FS, name string) (Tester, bool) {
	t := tree{project}
	for _, tester := range found(t, goTests, nodeTests, pythonTests, phpTests, rustTests, rubyTests, taskTests, makeTests) {
		if tester.Name == name {
			return tester, true
		}
	}
	return Tester{}, false
}

func found(t tree, looks ...func(tree) (Tester, bool)) []Tester {
	var all []Tester
	for _, look := range looks {
		if tester, ok := look(t); ok {
			all = append(all, tester)
		}
	}
	return all
}

// contains reports whether a word stands in a text, not as a part of another.
func contains(text, word string) bool {
	return regexp.MustCompile(`(?i)(^|[^a-z0-9_-])` + regexp.QuoteMeta(word) + `($|[^a-z0-9_-])`).MatchString(text)
}

// quoted is a list of names in a sentence.
func quoted(names []string) string { return strings.Join(names, ", ") }
