package view

import (
	"io"
)

// Template is a template that a name can mean.
type Template struct {
	Name    string `json:"name"`
	From    string `json:"from"` // project, user or builtin
	Path    string `json:"path,omitempty"`
	Summary string `json:"summary"`
	Memory  string `json:"memory,omitempty"` // what a machine of it needs
	// Shadows are the places whose template of the same name this one hides;
	// ShadowedBy is the place whose template hides this one.
	Shadows    []string `json:"shadows,omitempty"`
	ShadowedBy string   `json:"shadowed_by,omitempty"`
	// Problem is why the file cannot be read, if it cannot.
	Problem string `json:"problem,omitempty"`
}

// Templates lists templates, those that are hidden dimmed.
func Templates(w io.Writer, style Style, all []Template) error {
	rows := [][]cell{{text("NAME"), text("FROM"), text("MEMORY"), text("ABOUT")}}
	for _, t := range all {
		about, color := t.Summary, plain
		switch {
		case t.Problem != "":
			about, color = t.Problem, red
		case t.ShadowedBy != "":
			about, color = "(hidden by the "+t.ShadowedBy+"'s)", dim
		}
		memory := t.Memory
		if memory == "" {
			memory = "-"
		}
		rows = append(rows, []cell{{Clean(t.Name), color}, {t.From, color}, {Clean(memory), color}, {Clean(about), color}})
	}
	return writeTable(w, style, rows)
}

// TemplatesJSON prints the same for programs.
func TemplatesJSON(w io.Writer, all []Template) error {
	return writeJSON(w, struct {
		FormatVersion string     `json:"format_version"`
		Templates     []Template `json:"templates"`
	}{FormatVersion, list(all)})
}

// TemplateVariable is a variable of a template.
type TemplateVariable struct {
	Name     string  `json:"name"`
	Required bool    `json:"required"`
	Default  *string `json:"default,omitempty"`
}

// TemplateVariables lists the variables of a template.
func TemplateVariables(w io.Writer, style Style, all []TemplateVariable) error {
	rows := [][]cell{{text("NAME"), text("DEFAULT")}}
	for _, v := range all {
		value := cell{"required", yellow}
		if !v.Required {
			value = text(`"` + Clean(*v.Default) + `"`)
		}
		rows = append(rows, []cell{text(v.Name), value})
	}
	return writeTable(w, style, rows)
}

// TemplateVariablesJSON prints the same for programs.
func TemplateVariablesJSON(w io.Writer, all []TemplateVariable) error {
	return writeJSON(w, struct {
		FormatVersion string             `json:"format_version"`
		Variables     []TemplateVariable `json:"variables"`
	}{FormatVersion, list(all)})
}

// BuiltTemplate says what was built: its digest, and the sizes of its files in
// bytes.
func BuiltTemplate(w io.Writer, style Style, digest string, kernel, initrds int64) error {
	return writeTable(w, style, [][]cell{
		{text("DIGEST"), text("KERNEL"), text("INITRD")},
		{text(digest), text(byteSize(kernel)), text(byteSize(initrds))},
	})
}
