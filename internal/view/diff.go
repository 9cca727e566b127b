package view

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// visible gives control characters a picture.
func visible(r rune) rune {
	switch {
	case r < ' ' && r != '\t':
		return '\u2400' + r
	case r == 0x7f:
		return '\u2421'
	case r >= 0x80 && r < 0xa0:
		return '\uFFFD'
	}
	return r
}

// Diff prints a unified diff. What a terminal would obey is not left out but
// made visible: whoever agrees to a diff is to see all of it.
func Diff(w io.Writer, style Style, diff []byte) error {
	out := bufio.NewWriter(w)
	for line := range strings.Lines(string(bytes.TrimSuffix(diff, []byte("\n")))) {
		line = strings.TrimSuffix(line, "\n")
		p := plain
		switch {
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "+++ "), strings.HasPrefix(line, "--- "):
			p = bold
		case strings.HasPrefix(line, "@@"):
			p = cyan
		case strings.HasPrefix(line, "+"):
			p = green
		case strings.HasPrefix(line, "-"):
			p = red
		}
		_, _ = out.WriteString(style.paint(p, Clean(strings.Map(visible, line))) + "\n") // Flush tells
	}
	return out.Flush()
}
