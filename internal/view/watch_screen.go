package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

const (
	// mostKept is how many lines of what happened are kept.
	mostKept = 500
	// A screen of a terminal's own, without a cursor; what stood there before
	// comes back with the other one.
	ownScreen   = "\x1b[?1049h\x1b[?25l"
	otherScreen = "\x1b[?25h\x1b[?1049l"
)

// WatchScreen is lkup watch on a terminal: what runs, what happened, and what
// goes on, on a screen of its own. What is written to it is shown as it comes,
// line by line. All methods may be called by several goroutines at once.
type WatchScreen struct {
	now   func() time.Time
	color bool
	// size is the terminal's, in columns and rows, asked for each time.
	size func() (columns, rows int)

	mu       sync.Mutex // guards all below
	w        io.Writer
	title    string
	machines []PsRow
	happened []line
	begun    string // a line that has not ended
	working  []line
	doing    string
	since    time.Time // of doing
	shown    bool
	drawn    string // what the terminal shows
}

// NewWatchScreen gives a screen that is not shown yet. color is whether the
// terminal has colours.
func NewWatchScreen(w io.Writer, color bool, size func() (columns, rows int), now func() time.Time) *WatchScreen {
	return &WatchScreen{w: w, color: color, size: size, now: now}
}

// Show takes the terminal.
func (s *WatchScreen) Show() {
	s.change(func() {
		if !s.shown {
			s.shown, s.drawn = true, ""
			_, _ = io.WriteString(s.w, ownScreen) // a terminal that is gone is no reason to stop
		}
	})
}

// Hide gives the terminal back, for questions.
func (s *WatchScreen) Hide() {
	s.change(func() {
		if s.shown {
			s.shown = false
			_, _ = io.WriteString(s.w, otherScreen)
		}
	})
}

// Close gives the terminal back, and leaves there what happened.
func (s *WatchScreen) Close() {
	s.Hide()
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, one := range s.happened {
		for _, c := range one {
			b.WriteString(Style{Color: s.color}.paint(c.paint, c.text))
		}
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(s.w, b.String())
}

// Event adds what lkup watch saw or did.
func (s *WatchScreen) Event(e WatchEvent) {
	s.change(func() {
		s.add(line{{e.Time.Format(time.TimeOnly), dim}, text(" "), {e.Kind, kindPaint(e.Kind)}, text(e.what())})
		if e.Err == nil {
			return
		}
		var b strings.Builder
		Error(&b, Style{}, e.Err)
		for l := range strings.Lines(b.String()) {
			s.add(line{text("  " + strings.TrimSuffix(l, "\n"))})
		}
	})
}

func kindPaint(kind string) paint {
	switch kind {
	case "failed":
		return red
	case "refused":
		return yellow
	case "changed":
		return cyan
	}
	return green
}

// Write adds lines.
func (s *WatchScreen) Write(p []byte) (int, error) {
	s.change(func() {
		s.begun += string(p)
		for {
			one, rest, ended := strings.Cut(s.begun, "\n")
			if !ended {
				return
			}
			s.begun = rest
			s.add(line{text(Clean(one))})
		}
	})
	return len(p), nil
}

// Machines says what runs, of which stack.
func (s *WatchScreen) Machines(title string, rows []PsRow) {
	s.change(func() { s.title, s.machines = title, rows })
}

// Doing says what goes on; "" is nothing.
func (s *WatchScreen) Doing(what string) {
	s.change(func() { s.doing, s.since = what, s.now() })
}

// Redraw shows that time passes, or the terminal's new size.
func (s *WatchScreen) Redraw() { s.change(func() {}) }

// Progress shows an apply while it goes on.
func (s *WatchScreen) Progress(plan *planner.Plan) Progress {
	return &live{w: s, track: newTrack(plan, s.now), rows: map[spec.Address]*row{}, show: func(above, below []line) {
		s.change(func() {
			for _, one := range above {
				s.add(one)
			}
			s.working = below
		})
	}}
}

func (s *WatchScreen) add(one line) {
	s.happened = append(s.happened, one)
	if over := len(s.happened) - mostKept; over > 0 {
		s.happened = slices.Delete(s.happened, 0, over)
	}
}

// change does something to what is to be seen, and shows it.
func (s *WatchScreen) change(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
	if !s.shown {
		return
	}
	width, height := s.size()
	if text := s.text(Style{Color: s.color, Width: width}, height); text != s.drawn {
		s.drawn = text
		_, _ = io.WriteString(s.w, text)
	}
}

// text draws all of it, in a single write, so that none of it flickers. No row
// but the last may be missing: what happened has those that the rest leaves.
func (s *WatchScreen) text(style Style, height int) string {
	head := append([]line{s.heading()}, s.table(height/3)...)
	tail := append(slices.Clone(s.working), line{{"Ctrl-C ends this; the machines stay.", dim}})
	if len(head)+len(tail)+1 > height { // no room: what goes on comes first
		head = head[:max(0, min(1, height-len(tail)))]
		tail = tail[max(0, len(tail)-height):]
	}
	left := max(0, height-len(head)-len(tail))
	var b strings.Builder
	b.WriteString("\x1b[H")
	for n, one := range slices.Concat(head, s.latest(style.Width-1, left), tail) {
		if n > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(style.clipped(one) + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.String()
}

// heading is what is watched, and what goes on.
func (s *WatchScreen) heading() line {
	one := line{{"lkup watch", bold}, text("  " + oneLine(s.title))}
	if s.doing != "" {
		one = append(one, cell{fmt.Sprintf("  %s … %s", s.doing, short(s.now().Sub(s.since))), yellow})
	}
	return one
}

// table is what runs, in most rows or fewer.
func (s *WatchScreen) table(most int) []line {
	rows := [][]cell{headers("NAME", "STATUS", "READY", "UPTIME", "PORTS")}
	for _, r := range s.machines {
		rows = append(rows, []cell{text(r.Name), statusCell(r), readyCell(r), text(uptime(r.Uptime)), text(portList(r.Ports))})
	}
	all := aligned(rows)
	if len(all) == 1 {
		all = []line{{{"no machines", dim}}}
	}
	if more := len(all) - max(most, 3); more > 0 {
		all = append(all[:len(all)-more-1], line{{fmt.Sprintf("and %d more", more+1), dim}})
	}
	return append(all, line{})
}

// latest is the end of what happened, in so many rows: long lines take several,
// and missing ones are empty.
func (s *WatchScreen) latest(width, rows int) []line {
	var all []line
	for _, one := range slices.Backward(s.happened) {
		if len(all) >= rows {
			break
		}
		all = append(one.wrapped(width), all...)
	}
	all = all[max(0, len(all)-rows):]
	return append(all, make([]line, rows-len(all))...)
}

// wrapped is a line in rows of a width.
func (l line) wrapped(width int) []line {
	all, used := []line{{}}, 0
	for _, c := range l {
		var b strings.Builder
		end := func() {
			last := len(all) - 1
			all[last] = append(all[last], cell{b.String(), c.paint})
			b.Reset()
		}
		for _, r := range c.text {
			if used += columns(string(r)); used > max(width, 8) {
				end()
				all, used = append(all, line{text("    ")}), 4+columns(string(r))
			}
			b.WriteRune(r)
		}
		end()
	}
	return all
}
