package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lkup/lkup/spec"
)

// Happening is one thing that happened in a stack.
type Happening struct {
	Time    time.Time     `json:"time"`
	Address spec.Address  `json:"address"`
	ID      string        `json:"id,omitempty"`
	Kind    string        `json:"kind"`
	Took    time.Duration `json:"-"`
	Detail  string        `json:"detail,omitempty"`
	Error   string        `json:"error,omitempty"`
}

// Happenings gives a function that prints one happening a line. The first
// object of JSON has the format's version.
func Happenings(w io.Writer, style Style, asJSON bool) func(Happening) error {
	if !asJSON {
		return func(h Happening) error {
			_, err := io.WriteString(w, happeningText(style, h))
			return err
		}
	}
	version := FormatVersion
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return func(h Happening) error {
		h.Error, h.Detail = Clean(h.Error), Clean(h.Detail)
		defer func() { version = "" }()
		return e.Encode(struct {
			FormatVersion string `json:"format_version,omitempty"`
			Happening
			Took float64 `json:"took_seconds,omitempty"`
		}{version, h, seconds(h.Took)})
	}
}

func happeningText(style Style, h Happening) string {
	p := plain
	switch {
	case h.Error != "":
		p = red
	case h.Kind == "ready" || h.Kind == "healthy":
		p = green
	case h.Kind == "crashed" || h.Kind == "unhealthy":
		p = yellow
	}
	words := []string{
		style.paint(dim, h.Time.Local().Format("2006-01-02 15:04:05")), style.paint(cyan, Clean(string(h.Address))), style.paint(p, Clean(h.Kind)),
	}
	if h.Took > 0 {
		words = append(words, style.paint(dim, "("+short(h.Took)+")"))
	}
	for _, text := range []string{h.Detail, h.Error} {
		if line, _, _ := strings.Cut(strings.TrimSpace(Clean(text)), "\n"); line != "" {
			words = append(words, line)
		}
	}
	return fmt.Sprintln(strings.Join(words, "  "))
}
