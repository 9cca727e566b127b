package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/lkup/lkup/drivers"
)

// LsRow is one stack of this host.
type LsRow struct {
	Stack    string `json:"stack"`
	ID       string `json:"id"`
	Project  string `json:"project"`
	Machines int    `json:"machines"`
	Running  int    `json:"running"`
}

// LsText prints the stacks as a table.
func LsText(w io.Writer, style Style, rows []LsRow) error {
	table := [][]cell{headers("STACK", "RUNNING", "ID", "PROJECT")}
	for _, r := range rows {
		p := green
		if r.Running < r.Machines {
			p = yellow
		}
		table = append(table, []cell{
			text(r.Stack), {fmt.Sprintf("%d of %d", r.Running, r.Machines), p}, text(r.ID), text(Clean(r.Project)),
		})
	}
	return writeTable(w, style, table)
}

// LsJSON prints the stacks as a document.
func LsJSON(w io.Writer, rows []LsRow) error {
	return writeJSON(w, struct {
		FormatVersion string  `json:"format_version"`
		Stacks        []LsRow `json:"stacks"`
	}{FormatVersion, list(rows)})
}

// DoctorText prints what was found out about the host, with what to type
// where something is amiss.
func DoctorText(w io.Writer, style Style, findings []drivers.Finding) error {
	level, name := 0, 0
	for _, f := range findings {
		level, name = max(level, columns(string(f.Level))), max(name, columns(f.Name))
	}
	var b strings.Builder
	for _, f := range findings {
		indent := strings.Repeat(" ", level+2)
		detail := strings.ReplaceAll(strings.TrimSpace(Clean(f.Detail)), "\n", "\n"+indent+strings.Repeat(" ", name+2))
		fmt.Fprintf(&b, "%s  %s  %s\n", style.paint(levelPaint(f.Level), pad(string(f.Level), level)), pad(f.Name, name), detail)
		if f.Hint != "" {
			hint := strings.ReplaceAll(strings.TrimSpace(Clean(f.Hint)), "\n", "\n"+indent)
			fmt.Fprintf(&b, "%s%s\n", indent, style.paint(bold, hint))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func levelPaint(l drivers.Level) paint {
	switch l {
	case drivers.OK:
		return green
	case drivers.Warn:
		return yellow
	case drivers.Fail:
		return red
	default:
		return plain
	}
}

// DoctorJSON prints the findings as a document.
func DoctorJSON(w io.Writer, findings []drivers.Finding) error {
	type finding struct {
		Name   string        `json:"name"`
		Level  drivers.Level `json:"level"`
		Detail string        `json:"detail"`
		Hint   string        `json:"hint,omitempty"`
	}
	all := make([]finding, len(findings))
	for i, f := range findings {
		all[i] = finding(f)
	}
	return writeJSON(w, struct {
		FormatVersion string    `json:"format_version"`
		Findings      []finding `json:"findings"`
	}{FormatVersion, all})
}

// Version is this program's.
type Version struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"` // linux/amd64
}

// VersionText prints the version on a line.
func VersionText(w io.Writer, v Version) error {
	_, err := fmt.Fprintf(w, "lkup %s (%s, %s)\n", v.Version, v.Go, v.Platform)
	return err
}

// VersionJSON prints the version as a document.
func VersionJSON(w io.Writer, v Version) error {
	return writeJSON(w, struct {
		FormatVersion string `json:"format_version"`
		Version
	}{FormatVersion, v})
}
