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
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(c.text))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, c := range row {
			p := c.paint
			if n == 0 {
				p = bold
			}
			b.WriteString(style.paint(p, c.text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-columns(c.text)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
