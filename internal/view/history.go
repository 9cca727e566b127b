package view

import (
	"io"
	"slices"
	"strconv"
	"time"
)

// HistoryRow is one generation of a stack.
type HistoryRow struct {
	Number   int       `json:"number"`
	Time     time.Time `json:"time"`
	Command  string    `json:"command"`
	Machines int       `json:"machines"`
	Summary  string    `json:"summary"`
}

// History prints generations, the newest first.
func History(w io.Writer, style Style, rows []HistoryRow) error {
	table := [][]cell{{text("GENERATION"), text("WHEN"), text("COMMAND"), text("MACHINES"), text("PLAN")}}
	for _, r := range slices.Backward(rows) {
		table = append(table, []cell{
			text(strconv.Itoa(r.Number)), text(r.Time.Local().Format(time.DateTime)), text(Clean(r.Command)), text(strconv.Itoa(r.Machines)), text(Clean(r.Summary)),
		})
	}
	return writeTable(w, style, table)
}

// HistoryJSON prints generations as a document, the oldest first.
func HistoryJSON(w io.Writer, rows []HistoryRow) error {
	return writeJSON(w, struct {
		FormatVersion string       `json:"format_version"`
		Generations   []HistoryRow `json:"generations"`
	}{FormatVersion, list(rows)})
}
