package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/lkup/lkup/spec"
)

const (
	hidden       = "(sensitive)"
	unknownValue = "(known after apply)"
)

// OutputRow is one output of a stack.
type OutputRow struct {
	Name        string
	Description string
	Value       any // as in spec.Output
	Known       bool
	Sensitive   bool
}

// OutputsOf lists outputs, sorted by name: those of a stack (spec.Output), or
// values as an apply recorded them.
func OutputsOf[V any](outputs map[string]V) []OutputRow {
	var rows []OutputRow
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		row := OutputRow{Name: name, Value: outputs[name], Known: true}
		if o, ok := any(outputs[name]).(spec.Output); ok {
			row = OutputRow{Name: name, Description: o.Description, Value: o.Value, Known: o.Known, Sensitive: o.Sensitive}
		}
		rows = append(rows, row)
	}
	return rows
}

// Outputs prints outputs, one a line as in a stack file.
func Outputs(w io.Writer, style Style, rows []OutputRow) error {
	width := 0
	for _, r := range rows {
		width = max(width, columns(r.Name))
	}
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s = %s\n", style.paint(bold, pad(r.Name, width)), outputText(r))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func outputText(r OutputRow) string {
	switch {
	case r.Sensitive:
		return hidden
	case !r.Known:
		return unknownValue
	}
	return valueText(r.Value)
}

// valueText is a value in JSON, which is how a stack file would write it.
func valueText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return Clean(strings.TrimSuffix(b.String(), "\n"))
}

// OutputsJSON prints outputs as a document.
func OutputsJSON(w io.Writer, rows []OutputRow) error {
	type output struct {
		Value       any    `json:"value"`
		Known       bool   `json:"known"`
		Sensitive   bool   `json:"sensitive"`
		Description string `json:"description,omitempty"`
	}
	all := map[string]output{}
	for _, r := range rows {
		o := output{r.Value, r.Known, r.Sensitive, r.Description}
		if r.Sensitive {
			o.Value = hidden
		}
		all[r.Name] = o
	}
	return writeJSON(w, struct {
		FormatVersion string            `json:"format_version"`
		Outputs       map[string]output `json:"outputs"`
	}{FormatVersion, all})
}

// OutputValue prints one value, for scripts: a text as it is, everything else
// as JSON; with asJSON, texts too.
func OutputValue(w io.Writer, value any, asJSON bool) error {
	if s, ok := value.(string); ok && !asJSON {
		_, err := fmt.Fprintln(w, s)
		return err
	}
	return writeJSON(w, value)
}
