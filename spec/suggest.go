package spec

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest finds the candidate that the user probably meant, or "".
func nearest(given string, candidates []string) string {
	best, least := "", 1+max(1, min(3, len(given)/3))
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if strings.EqualFold(given, c) {
			return c
		}
		d := distance(given, c)
		if d < least || d == least && best != "" && len(c) == len(given) && len(best) != len(given) {
			best, least = c, d
		}
	}
	return best
}

// distance counts the slips between two names. Two letters in the wrong order
// are one slip.
func distance(a, b string) int {
	d := levenshtein.Distance(a, b, nil)
	if d == 2 && len(a) == len(b) && sameLetters(a, b) {
		return 1
	}
	return d
}

func sameLetters(a, b string) bool {
	return slices.Equal(slices.Sorted(slices.Values([]byte(a))), slices.Sorted(slices.Values([]byte(b))))
}

// didYouMean is a sentence to end a detail with, or "". prefix completes the
// name to what has to be typed.
func didYouMean(prefix, given string, candidates []string) string {
	if best := nearest(given, candidates); best != "" {
		return " Did you mean " + prefix + best + "?"
	}
	return ""
}

// listed names the candidates in a row, or says that there are none. A long
// row is cut.
func listed(names []string) string {
	const most = 12
	names = slices.Sorted(slices.Values(names))
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}
