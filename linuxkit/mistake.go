package linuxkit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// Position is a place in a template. Line and Column count from 1.
type Position struct {
	File         string
	Line, Column int
}

func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Mistake is one thing wrong with a template.
type Mistake struct {
	At   Position
	Text string // what is wrong, and what to write
}

// Mistakes is everything wrong with a template, in the order of its lines.
type Mistakes []Mistake

// Error is one line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, mistake := range m {
		lines[i] = fmt.Sprintf("%s: %s", mistake.At, mistake.Text)
	}
	return strings.Join(lines, "\n")
}

func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		if a.At.Line != b.At.Line {
			return a.At.Line - b.At.Line
		}
		return a.At.Column - b.At.Column
	})
	return m
}

// didYouMean is a phrase that offers the known word closest to what was
// written, or nothing if none is close.
func didYouMean(written string, known []string) string {
	best, distance := "", 4
	for _, word := range known {
		if d := levenshtein.Distance(strings.ToLower(written), strings.ToLower(word), nil); d < distance && d <= len(word)/2 {
			best, distance = word, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
