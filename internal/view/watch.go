package view

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lkup/lkup/spec"
)

// WatchEvent is one thing that lkup watch saw or did.
type WatchEvent struct {
	Time    time.Time
	Kind    string // watching, changed, applied, refused, synced, ran or failed
	Address spec.Address
	Paths   []string // that changed, or were copied or deleted in the guest
	Detail  string
	Took    time.Duration
	Err     error
}

// Watch shows an event on one line, or on a few more if it failed.
func Watch(w io.Writer, style Style, e WatchEvent) {
	fmt.Fprintln(w, e.Time.Format(time.TimeOnly)+" "+e.Kind+e.what())
	if e.Err != nil {
		Error(w, style, e.Err)
	}
}

// what is what an event is about, and how long it took.
func (e WatchEvent) what() string {
	var line string
	if e.Address != "" {
		line += " " + string(e.Address)
	}
	if len(e.Paths) > 0 {
		line += " " + List(e.Paths)
	}
	if e.Detail != "" {
		line += ": " + e.Detail
	}
	if e.Took > 0 {
		line += fmt.Sprintf(" (%.2fs)", e.Took.Seconds())
	}
	return Clean(line)
}

// WatchJSON shows an event to a program, on one line.
func WatchJSON(w io.Writer, e WatchEvent) error {
	object := struct {
		FormatVersion string   `json:"format_version"`
		Time          string   `json:"time"`
		Kind          string   `json:"kind"`
		Address       string   `json:"address,omitempty"`
		Paths         []string `json:"paths,omitempty"`
		Detail        string   `json:"detail,omitempty"`
		Took          float64  `json:"took_seconds,omitempty"`
		Error         string   `json:"error,omitempty"`
	}{FormatVersion, e.Time.UTC().Format(time.RFC3339Nano), "watch." + e.Kind, string(e.Address), slices.Clone(e.Paths), e.Detail, e.Took.Seconds(), ""}
	if e.Err != nil {
		object.Error = e.Err.Error()
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}
