package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

func TestWhatAServerSaysBendsNoTerminal(t *testing.T) {
	var shown strings.Builder
	out := cleaned(&shown)
	flood := strings.Repeat("x", 1<<20)
	fmt.Fprint(out, "\x1b]0;evil\a\x1b[2Jshown\n", flood, "\nafter\n\x9b31m\x00\bend")
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	text := shown.String()
	if strings.ContainsAny(text, "\x1b\a\x00\b\u009b") || strings.Contains(text, "\x9b31m") {
		t.Errorf("it begins with %.80q and ends with %q", text, text[max(0, len(text)-80):])
	}
	lines := strings.Split(text, "\n")
	if lines[0] != "shown" || !slices.Contains(lines, "after") {
		t.Errorf("it begins with %q, of %d lines", lines[0], len(lines))
	}
}

// TestAServerIsEndedByForceInTheEnd has one hear no signal, one only the
// second, and one the first.
func TestAServerIsEndedByForceInTheEnd(t *testing.T) {
	for ignored, want := range [][]string{{"TERM"}, {"TERM", "KILL"}, {"TERM", "KILL", "hung up"}} {
		synctest.Test(t, func(t *testing.T) {
			run, kill := context.WithCancel(t.Context())
			defer kill()
			signals, over := make(chan string, 2), make(chan result, 1)
			var heard []string
			go func() {
				defer func() { over <- result{} }()
				for {
					select {
					case s := <-signals:
						if heard = append(heard, s); len(heard) > ignored {
							return
						}
					case <-run.Done():
						heard = append(heard, "hung up")
						return
					}
				}
			}()
			(&serving{}).end(signals, over, kill)
			if !slices.Equal(heard, want) {
				t.Errorf("of a server that ignores %d: %v, want %v", ignored, heard, want)
			}
		})
	}
}
