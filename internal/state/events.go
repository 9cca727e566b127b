package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/spec"
)

// Happening is one thing that happened in a stack.
type Happening struct {
	Time    time.Time    `json:"time"`
	Address spec.Address `json:"address"`
	ID      string       `json:"id,omitempty"`
	// Kind is an effect of lkup's as the journal names it, once it is over
	// (create, start, stop, ...), "ready", or what came about by itself.
	Kind   string        `json:"kind"`
	Took   time.Duration `json:"took,omitempty"` // nanoseconds
	Detail string        `json:"detail,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// eventsLimit is how large the file of happenings grows, in bytes. The one
// before it is kept.
const eventsLimit = 1 << 20

// Tell records a happening for those who follow the stack. It takes no lock:
// a line is written at once. What cannot be told is not told, for what happened
// has happened.
func Tell(paths layout.Stack, h Happening) {
	line, err := json.Marshal(h)
	if err != nil {
		return
	}
	if info, err := os.Stat(paths.Events()); err == nil && info.Size() > eventsLimit {
		_ = os.Rename(paths.Events(), paths.OldEvents())
	}
	f, err := os.OpenFile(paths.Events(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	_, _ = f.Write(append(line, '\n'))
	_ = f.Close()
}

// Happenings reads what happened in a stack, oldest first, and then what
// happens.
type Happenings struct {
	paths  layout.Stack
	file   *os.File
	lines  *bufio.Reader
	rest   string
	opened bool
}

// OpenHappenings begins with the oldest that is known.
func OpenHappenings(paths layout.Stack) *Happenings { return &Happenings{paths: paths} }

// Close closes what is open.
func (h *Happenings) Close() {
	if h.file != nil {
		_ = h.file.Close() // it was only read
	}
}

// Next gives what has happened since the last call.
func (h *Happenings) Next() ([]Happening, error) {
	var all []Happening
	if !h.opened {
		h.opened = true
		if err := h.open(h.paths.OldEvents()); err != nil {
			return nil, err
		}
		old, err := h.read()
		if err != nil {
			return nil, err
		}
		all = old
		if err := h.open(h.paths.Events()); err != nil {
			return nil, err
		}
	}
	more, err := h.read()
	all = append(all, more...)
	if err != nil || !h.replaced() {
		return all, err
	}
	if err := h.open(h.paths.Events()); err != nil {
		return all, err
	}
	more, err = h.read()
	return append(all, more...), err
}

// replaced reports whether another file is written to now.
func (h *Happenings) replaced() bool {
	now, err := os.Stat(h.paths.Events())
	if err != nil {
		return false
	}
	if h.file == nil {
		return true
	}
	mine, err := h.file.Stat()
	return err == nil && !os.SameFile(mine, now)
}

func (h *Happenings) open(path string) error {
	h.Close()
	h.file, h.lines, h.rest = nil, nil, ""
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	h.file, h.lines = f, bufio.NewReader(f)
	return nil
}

// read gives whole lines. One that is cut, or means nothing, is passed over.
func (h *Happenings) read() ([]Happening, error) {
	if h.file == nil {
		return nil, nil
	}
	var all []Happening
	for {
		line, err := h.lines.ReadString('\n')
		h.rest += line
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		var one Happening
		if json.Unmarshal([]byte(h.rest), &one) == nil && one.Kind != "" {
			all = append(all, one)
		}
		h.rest = ""
	}
}
