package view

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
)

// Diagnostics prints what is wrong in the stack files, with the lines it is
// in. files are those that spec.Load returned.
func Diagnostics(w io.Writer, style Style, files map[string]*hcl.File, diags hcl.Diagnostics) {
	var out strings.Builder
	for _, d := range diags {
		box(&out, style, severityPaint(d.Severity), diagnosticText(style, files, d))
	}
	_, _ = io.WriteString(w, out.String()) // there is nobody left to tell
}

func severityPaint(s hcl.DiagnosticSeverity) paint {
	if s == hcl.DiagWarning {
		return yellow
	}
	return red
}

// diagnosticText is a diagnostic as HCL writes it.
func diagnosticText(style Style, files map[string]*hcl.File, d *hcl.Diagnostic) string {
	width := uint(0)
	if style.Width > 20 {
		width = uint(min(style.Width, 100) - 2)
	}
	var b bytes.Buffer
	// A buffer takes everything, so there is no error.
	_ = hcl.NewDiagnosticTextWriter(&b, files, width, style.Color).WriteDiagnostic(d)
	return strings.TrimRight(cleanButColors(b.String()), "\n")
}

// ownColors are the sequences that HCL writes.
var ownColors = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\x1b\[(?:0|31|33|1;4)m`)
})

// cleanButColors cleans the stack file's lines in a diagnostic, and leaves the
// marks that HCL put into them.
func cleanButColors(text string) string {
	var b strings.Builder
	from := 0
	for _, at := range ownColors().FindAllStringIndex(text, -1) {
		b.WriteString(Clean(text[from:at[0]]))
		b.WriteString(text[at[0]:at[1]])
		from = at[1]
	}
	b.WriteString(Clean(text[from:]))
	return b.String()
}

// box writes one of several texts: with a bar beside it on a terminal, and
// elsewhere apart from the one before by an empty line.
func box(b *strings.Builder, style Style, p paint, text string) {
	if style.Width == 0 {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(text + "\n")
		return
	}
	b.WriteString(style.paint(p, "╷") + "\n")
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight(style.paint(p, "│")+" "+line, " ") + "\n")
	}
	b.WriteString(style.paint(p, "╵") + "\n")
}

// DiagnosticsJSON prints diagnostics as a document; none means that the stack
// files are valid.
func DiagnosticsJSON(w io.Writer, diags hcl.Diagnostics) error {
	all := make([]diagnostic, len(diags))
	count := map[string]int{}
	for i, d := range diags {
		all[i] = newDiagnostic(d)
		count[all[i].Severity]++
	}
	return writeJSON(w, struct {
		FormatVersion string       `json:"format_version"`
		Valid         bool         `json:"valid"`
		Errors        int          `json:"error_count"`
		Warnings      int          `json:"warning_count"`
		Diagnostics   []diagnostic `json:"diagnostics"`
	}{FormatVersion, !diags.HasErrors(), count["error"], count["warning"], all})
}

type diagnostic struct {
	Severity string     `json:"severity"` // error or warning
	Summary  string     `json:"summary"`
	Detail   string     `json:"detail,omitempty"`
	Range    *fileRange `json:"range,omitempty"`
}

type fileRange struct {
	File  string   `json:"filename"`
	Start position `json:"start"`
	End   position `json:"end"`
}

type position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

func newDiagnostic(d *hcl.Diagnostic) diagnostic {
	out := diagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail}
	if d.Severity == hcl.DiagWarning {
		out.Severity = "warning"
	}
	if d.Subject != nil {
		out.Range = &fileRange{File: d.Subject.Filename, Start: position(d.Subject.Start), End: position(d.Subject.End)}
	}
	return out
}
