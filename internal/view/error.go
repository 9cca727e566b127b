package view

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lkup/lkup/reconciler"
)

// Error prints an error, or each of several that were joined. Of a machine
// that did not start it shows all that is known.
func Error(w io.Writer, style Style, err error) {
	var out strings.Builder
	for _, e := range unjoined(err) {
		box(&out, style, red, errorText(style, e))
	}
	_, _ = io.WriteString(w, out.String()) // there is nobody left to tell
}

// unjoined takes apart what errors.Join put together, and leaves errors alone
// that only wrap several.
func unjoined(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var texts []string
	for _, e := range joined.Unwrap() {
		all = append(all, unjoined(e)...)
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err}
	}
	return all
}

func errorText(style Style, err error) string {
	text := style.paint(red, "Error:") + " " + strings.TrimSpace(Clean(err.Error()))
	var start *reconciler.StartError
	if errors.As(err, &start) {
		text += startText(style, start)
	}
	return text
}

// startText is what is known of a machine that did not start: what to do
// first, then what it was doing, then the raw material.
func startText(style Style, e *reconciler.StartError) string {
	var b strings.Builder
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n\n%s%s", style.paint(bold, title), text)
		}
	}
	section("Likely cause:", spaced(Clean(e.Cause)))
	section("Got as far as:", spaced(reachedText(e)))
	for _, probe := range e.Waiting {
		fmt.Fprintf(&b, "\n  still waiting for %s", oneLine(probe))
	}
	section("Last lines of the console:", quote(e.Console))
	section("Command:", indented(e.Command))
	if e.Running {
		section("It was left running.", " lkup logs shows its whole console, lkup console attaches to it.")
	}
	return b.String()
}

// spaced sets a text apart from its title; quoted lines stand below theirs.
func spaced(text string) string {
	if text == "" {
		return ""
	}
	return " " + text
}

func reachedText(e *reconciler.StartError) string {
	if e.Reached == "" {
		return "nothing; its process does not run"
	}
	return string(e.Reached)
}

// quote puts lines behind a bar, so that nobody takes them for lkup's own.
func quote(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("\n  | " + oneLine(strings.TrimRight(line, "\r\n")))
	}
	return b.String()
}

func indented(command string) string {
	if command == "" {
		return ""
	}
	return "\n  " + strings.ReplaceAll(Clean(command), "\n", "\n  ")
}
