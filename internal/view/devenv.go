package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/lkup/lkup/devenv"
)

// Servers shows how a project can be served, and why it is thought so; the
// first is the way that is taken.
func Servers(w io.Writer, style Style, all []devenv.Server, dir string) error {
	rows := [][]cell{{text("KIND"), text("COMMAND"), text("PORT"), text("ON CHANGES"), text("WHY")}}
	for i, s := range all {
		changes, color := "restarted", plain
		if s.Reloads {
			changes = "notices them"
		}
		if i > 0 {
			color = dim
		}
		rows = append(rows, []cell{{Clean(s.Kind), color}, {Clean(strings.Join(s.Command, " ")), color}, {fmt.Sprint(s.Port), color}, {changes, color}, {Clean(s.Why), color}})
	}
	if err := writeTable(w, style, rows); err != nil {
		return err
	}
	which := "It runs"
	if len(all) > 1 {
		which = fmt.Sprintf("The first is taken, or another by such as --as %s. It runs", Clean(all[1].Kind))
	}
	_, err := fmt.Fprintf(w, "\n%s in %s.\n", which, Clean(dir))
	return err
}

// Testers shows how a project is tested, and why.
func Testers(w io.Writer, style Style, all []devenv.Tester) error {
	rows := [][]cell{{text("NAME"), text("COMMAND"), text("REPORT"), text("WHY")}}
	for _, t := range all {
		report := t.Report.Format
		if report == "" {
			report = "-"
		}
		rows = append(rows, []cell{text(Clean(t.Name)), text(Clean(strings.Join(t.Command, " "))), text(report), text(Clean(t.Why))})
	}
	return writeTable(w, style, rows)
}

// ServersJSON prints what Servers does for programs.
func ServersJSON(w io.Writer, all []devenv.Server) error {
	return writeJSON(w, struct {
		FormatVersion string          `json:"format_version"`
		Servers       []devenv.Server `json:"servers"`
	}{FormatVersion, list(all)})
}

// TestersJSON prints what Testers does for programs.
func TestersJSON(w io.Writer, all []devenv.Tester) error {
	return writeJSON(w, struct {
		FormatVersion string          `json:"format_version"`
		Testers       []devenv.Tester `json:"testers"`
	}{FormatVersion, list(all)})
}
