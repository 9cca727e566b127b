package spec

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// report collects every mistake, each once: a second one with the same summary
// at the same place says nothing new. An expression that fails for each of a
// thousand instances is one mistake.
type report struct {
	diags hcl.Diagnostics
	seen  map[mistake]bool
}

type mistake struct {
	at      hcl.Range
	summary string
}

func newReport() *report { return &report{seen: map[mistake]bool{}} }

func (r *report) add(diags ...*hcl.Diagnostic) {
	for _, d := range diags {
		var m mistake
		if d.Subject != nil {
			m.at = *d.Subject
		}
		m.summary = d.Summary
		if r.seen[m] {
			continue
		}
		r.seen[m] = true
		r.diags = append(r.diags, d)
	}
}

// fail adds an error. The detail says what to type.
func (r *report) fail(at hcl.Range, summary, detail string, args ...any) {
	r.add(problem(hcl.DiagError, at, summary, detail, args...))
}

// warn adds a warning.
func (r *report) warn(at hcl.Range, summary, detail string, args ...any) {
	r.add(problem(hcl.DiagWarning, at, summary, detail, args...))
}

func problem(severity hcl.DiagnosticSeverity, at hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	return &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: detail, Subject: &at}
}

// sorted gives all diagnostics in the order of the files and their lines.
func (r *report) sorted() hcl.Diagnostics {
	slices.SortStableFunc(r.diags, func(a, b *hcl.Diagnostic) int {
		return cmp.Or(compareRanges(a.Subject, b.Subject), cmp.Compare(a.Summary, b.Summary))
	})
	return r.diags
}

func compareRanges(a, b *hcl.Range) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Or(
		cmp.Compare(a.Filename, b.Filename),
		cmp.Compare(a.Start.Byte, b.Start.Byte),
		cmp.Compare(a.End.Byte, b.End.Byte),
	)
}

// place is how a text names a range: lkup.hcl:7.
func place(r hcl.Range) string { return position(r).String() }

func position(r hcl.Range) Pos {
	return Pos{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column}
}
