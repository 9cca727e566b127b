package view

import (
	"io"
	"strings"
)

// cell is a text in a colour.
type cell struct {
	text  string
	paint paint
}

func text(s string) cell { return cell{text: s} }

// writeTable prints rows in columns, two spaces apart. The first row is the head.
func writeTable(w io.Writer, style Style, rows [][]cell) error {
	var b strings.Builder
	for _, row := range aligned(rows) {
		for _, c := range row {
			b.WriteString(style.paint(c.paint, c.text))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// aligned is the lines of a table.
func aligned(rows [][]cell) []line {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(c.text))
		}
	}
	all := make([]line, len(rows))
	for n, row := range rows {
		for i, c := range row {
			if n == 0 {
				c.paint = bold
			}
			all[n] = append(all[n], c)
			if i < len(row)-1 {
				all[n] = append(all[n], text(strings.Repeat(" ", widths[i]-columns(c.text)+2)))
			}
		}
	}
	return all
}
