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
		if d := levenshtein.Distance(given, c, nil); d < least {
			best, least = c, d
		}
	}
	return best
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
