package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	hcljson "github.com/hashicorp/hcl/v2/json"
)

// IsStackFile reports whether a file of this name, at the root of a project,
// is part of its stack.
func IsStackFile(name string) bool {
	switch {
	case strings.HasPrefix(name, "."):
		return false
	case name == "lkup.hcl", name == "lkup.json":
		return true
	}
	return strings.HasSuffix(name, ".lkup.hcl") || strings.HasSuffix(name, ".lkup.json")
}

// StackFiles lists the stack files at the root of project, sorted.
func StackFiles(project fs.FS) ([]string, error) { return stackFilesIn(project, ".") }

// stackFilesIn lists the stack files of a directory of the project.
func stackFilesIn(project fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(project, dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if IsStackFile(entry.Name()) && !entry.IsDir() {
			names = append(names, path.Join(dir, entry.Name()))
		}
	}
	return names, nil
}

// Format gives src the one layout that all stack files share. It changes no
// meaning, and refuses a file with syntax errors. JSON gets two spaces per level.
func Format(name string, src []byte) ([]byte, hcl.Diagnostics) {
	if _, diags := parse(name, src); diags.HasErrors() {
		return nil, diags
	}
	if !strings.HasSuffix(name, ".json") {
		return hclwrite.Format(src), nil
	}
	return formatJSON(src), nil
}

func formatJSON(src []byte) []byte {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(src), "", "  "); err != nil { // HCL reads a little more than JSON has
		return src
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func parse(name string, src []byte) (*hcl.File, hcl.Diagnostics) {
	if strings.HasSuffix(name, ".json") {
		return hcljson.Parse(src, name)
	}
	return hclsyntax.ParseConfig(src, name, hcl.InitialPos)
}

// reader reads the project's files and remembers which.
type reader struct {
	project fs.FS
	files   map[string]*hcl.File // what diagnostics may point into
	read    map[string]bool
	// reading, if not nil, notes what the expression reads that is evaluated now.
	reading *argument
	bodies  map[string][]hcl.Body // of directories read before
}

func (r *reader) readFile(name string) ([]byte, error) {
	content, err := fs.ReadFile(r.project, name)
	if err == nil {
		r.read[name] = true
		if r.reading != nil {
			r.reading.reads = append(r.reading.reads, name)
		}
	}
	return content, err
}

func (r *reader) names() []string { return slices.Sorted(maps.Keys(r.read)) }

// stackBodies parses the stack files of a directory, or just those that are
// named. After an error it gives none: what is missing would only look like
// more mistakes.
func (r *reader) stackBodies(dir string, names []string, rep *report) []hcl.Body {
	if known, there := r.bodies[dir]; there {
		return known
	}
	if len(names) == 0 {
		found, err := stackFilesIn(r.project, dir)
		if err != nil {
			rep.add(unreadable("the project's directory", err))
			return nil
		}
		names = found
	}
	if len(names) == 0 && dir == "." {
		rep.add(&hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "No stack file here",
			Detail:   "This directory has no lkup.hcl and no *.lkup.hcl. Run `lkup init` to write one, or name another directory with `-C DIR`.",
		})
		return nil
	}
	var bodies []hcl.Body
	broken := false
	for _, name := range names {
		src, err := r.readFile(name)
		if err != nil {
			rep.add(unreadable(name, err))
			broken = true
			continue
		}
		file, diags := parse(name, src)
		rep.add(withoutEchoes(diags)...)
		broken = broken || diags.HasErrors()
		if file == nil {
			file = &hcl.File{Bytes: src}
		}
		r.files[name] = file
		bodies = append(bodies, file.Body)
	}
	if broken {
		bodies = nil
	}
	r.bodies[dir] = bodies
	return bodies
}

// advice says what to type where the parser only says what is wrong.
var advice = map[string]string{
	"Unclosed configuration block":   " Add the missing: }",
	"Invalid multi-line string":      " If the text ends on this line, add the closing quote: \"",
	"Unterminated template string":   " Add the closing quote: \"",
	"Attribute redefined":            " Take one of the two out.",
	"Missing newline after argument": " Put the rest on a line of its own.",
	"Invalid block definition":       " Write: KIND \"NAME\" {",
}

// withoutEchoes leaves out the errors that begin on the line where the one
// before ended: after an unclosed quote, the parser stumbles over every line.
func withoutEchoes(diags hcl.Diagnostics) hcl.Diagnostics {
	var kept hcl.Diagnostics
	line := 0
	for _, d := range diags {
		d.Detail += advice[d.Summary]
		if d.Subject == nil || d.Subject.Start.Line > line {
			kept = append(kept, d)
		}
		if d.Subject != nil {
			line = max(line, d.Subject.End.Line)
		}
	}
	return kept
}

func unreadable(what string, err error) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Cannot read " + what,
		Detail:   strings.ToUpper(cause(err)[:1]) + cause(err)[1:] + ". Make it readable for you.",
	}
}

// cause is an error without the operation and path that the text names already.
func cause(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}
