package view

import (
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/lkup/lkup/reconciler"
)

// EventsJSON shows an apply to a program: an object per line, the first with
// the format's version, the last with kind "end" and counts of ops.
func EventsJSON(w io.Writer) Progress {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return &eventsJSON{encoder: e}
}

type eventsJSON struct {
	mu      sync.Mutex // guards all below
	encoder *json.Encoder
	begun   bool
	ended   ended
}

type ended struct {
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

type eventObject struct {
	FormatVersion string    `json:"format_version,omitempty"`
	Time          string    `json:"time,omitempty"` // RFC 3339
	Kind          string    `json:"kind"`
	Address       string    `json:"address,omitempty"`
	Op            string    `json:"op,omitempty"`
	Stage         string    `json:"stage,omitempty"`
	Took          float64   `json:"took_seconds,omitempty"`
	StoppedBy     string    `json:"stopped_by,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	Download      *download `json:"progress,omitempty"`
	Error         string    `json:"error,omitempty"`
	Start         *badStart `json:"start,omitempty"`
	*ended
}

type download struct {
	What  string `json:"what"`
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
}

// badStart is what is known of a machine that did not start.
type badStart struct {
	Reached string   `json:"reached"` // a stage; empty if its process does not run
	Waiting []string `json:"waiting,omitempty"`
	Cause   string   `json:"cause,omitempty"`
	Console []string `json:"console,omitempty"` // cleaned
	Command string   `json:"command,omitempty"`
	Running bool     `json:"running"` // it was left running
}

func newBadStart(err error) *badStart {
	var e *reconciler.StartError
	if !errors.As(err, &e) {
		return nil
	}
	console := make([]string, len(e.Console))
	for i, line := range e.Console {
		console[i] = Clean(line)
	}
	return &badStart{string(e.Reached), e.Waiting, e.Cause, console, e.Command, e.Running}
}

// Event prints the event.
func (j *eventsJSON) Event(e reconciler.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch e.Kind {
	case reconciler.OpDone:
		j.ended.Done++
	case reconciler.OpFailed:
		j.ended.Failed++
	case reconciler.OpSkipped:
		j.ended.Skipped++
	case reconciler.OpStarted, reconciler.StageReached, reconciler.Downloading, reconciler.Warning, reconciler.Synced:
	}
	o := eventObject{
		Kind: string(e.Kind), Address: string(e.Address), Op: e.Op, Stage: string(e.Stage),
		Took: seconds(e.Took), StoppedBy: string(e.Stop.By), Detail: Clean(e.Detail),
	}
	if !e.Time.IsZero() {
		o.Time = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if e.Report != nil {
		o.Download = &download{e.Report.What, e.Report.Done, e.Report.Total}
	}
	if e.Err != nil {
		o.Error, o.Start = Clean(e.Err.Error()), newBadStart(e.Err)
	}
	j.print(o)
}

// Close prints the end.
func (j *eventsJSON) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.print(eventObject{Kind: "end", ended: &j.ended})
}

func (j *eventsJSON) print(o eventObject) {
	if !j.begun {
		j.begun, o.FormatVersion = true, FormatVersion
	}
	_ = j.encoder.Encode(o) // a reader that is gone is no reason to stop
}
