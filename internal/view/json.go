package view

import (
	"encoding/json"
	"io"
)

// FormatVersion stands in every JSON document that lkup prints. It changes
// when a reader of the old form would be misled.
const FormatVersion = "1"

// writeJSON prints a document, indented.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// list makes an absent list an empty one.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
