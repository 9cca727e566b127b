package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// report prints measurements as they come, and counts missed targets.
type report struct {
	out    io.Writer
	missed int
}

func (r *report) title(text string) { fmt.Fprintf(r.out, "\n%s\n", text) }

func (r *report) times(name string, s samples) {
	fmt.Fprintf(r.out, "  %-52s median %6.3f s   min %6.3f   max %6.3f   n=%d\n",
		name, s.median().Seconds(), slices.Min(s).Seconds(), slices.Max(s).Seconds(), len(s))
}

// atMost prints a figure beside what it may be.
func (r *report) atMost(name string, got, most float64, unit string) {
	verdict := "ok"
	if got > most {
		verdict = "MISSED"
		r.missed++
	}
	fmt.Fprintf(r.out, "  %-52s %6.2f%s   at most %g%s   %s\n", name, got, unit, most, unit, verdict)
}

// samples are repeated measurements of one thing; never empty.
type samples []time.Duration

func (s samples) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

func ratio(a, b samples) float64 { return a.median().Seconds() / b.median().Seconds() }
