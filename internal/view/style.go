// Package view says how every value looks to a person and to a program. It is
// the only package that prints: it turns values into text or JSON on a writer
// that it is given. It reads nothing, asks nothing and knows no terminal; what
// the terminal can do stands in the [Style].
//
// What comes from a guest is shown without its control characters.
package view

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Style is how to write for one reader. The zero Style is for pipes and files.
type Style struct {
	Color bool // ANSI colours; the caller heeds NO_COLOR
	Width int  // columns of the terminal; 0 if it is none
}

// paint is a colour by its ANSI code; "" is plain.
type paint string

const (
	plain  paint = ""
	bold   paint = "1"
	dim    paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
	blue   paint = "34"
	violet paint = "35"
	cyan   paint = "36"
)

func (s Style) paint(p paint, text string) string {
	if !s.Color || p == plain || text == "" {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// columns is how wide a text without escape sequences is on a terminal.
func columns(text string) int { return runewidth.StringWidth(text) }

// pad fills text with spaces up to a width.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-columns(text)))
}

// Count is a number with its noun: "1 machine", "2 machines".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// mostListed is how many things List names.
const mostListed = 8

// List is an enumeration in a sentence: "vm.a, vm.b and vm.c".
func List[T ~string](all []T) string {
	words := make([]string, 0, len(all))
	for _, item := range all {
		words = append(words, string(item))
	}
	if more := len(words) - mostListed; more > 0 {
		words = append(words[:mostListed], fmt.Sprintf("%d more", more))
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
