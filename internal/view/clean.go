package view

import (
	"regexp"
	"strings"
	"sync"
)

// sequence matches what a terminal would take as one instruction: CSI, the
// strings OSC, DCS, SOS, PM and APC up to their end or the line's, and the
// short ones; each also by the one-character form of its beginning.
var sequence = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(
		`(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]?` +
			`|(?:\x1b[\]PX^_]|[\x{9d}\x{90}\x{98}\x{9e}\x{9f}])[^\x07\x1b\x{9c}\n]*(?:\x07|\x1b\\|\x{9c})?` +
			`|\x1b[ -/]*[0-~]`)
})

// Clean makes text from a guest, or from anybody, harmless on a terminal: it
// drops escape sequences, ends lines with \n alone, and shows what other
// control characters there are, and those that reorder text, as visible ones.
// \t and \n stay.
func Clean(text string) string {
	if isClean(text) {
		return text
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = sequence().ReplaceAllString(text, "")
	for strings.Contains(text, "\r\n") { // consoles write \r\r\n too
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	text = strings.TrimSuffix(text, "\r")
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\r':
			b.WriteByte(' ')
		case r == '\t' || r == '\n' || harmless(r):
			b.WriteRune(r)
		case r < ' ':
			b.WriteByte('^')
			b.WriteRune(r + '@')
		default:
			b.WriteRune('\uFFFD')
		}
	}
	return b.String()
}

func isClean(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' && c != '\t' && c != '\n') || c > '~' {
			return false
		}
	}
	return true
}

// harmless reports whether a character only shows itself.
func harmless(r rune) bool {
	switch {
	case r < ' ', r >= 0x7f && r <= 0x9f: // controls
		return false
	case r == 0x2028, r == 0x2029: // line and paragraph separators
		return false
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // reorder text
		return false
	}
	return true
}
