package view

import (
	"io"

	"github.com/lkup/lkup/spec"
)

// Schema prints the JSON Schema of stack files in JSON syntax.
func Schema(w io.Writer) error { return writeJSON(w, spec.JSONSchema()) }
