package view

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// CopyProgress shows how far a copy is, on a terminal alone. It is safe for
// concurrent use.
type CopyProgress struct {
	w     io.Writer
	style Style
	now   func() time.Time

	mu    sync.Mutex // guards what follows
	shown time.Time
	drawn bool
}

// drawEvery is how often a line of progress changes.
const drawEvery = 100 * time.Millisecond

// Copying begins to show a copy.
func Copying(w io.Writer, style Style, now func() time.Time) *CopyProgress {
	return &CopyProgress{w: w, style: style, now: now, shown: now()}
}

// Report is told how much was copied so far.
func (p *CopyProgress) Report(files int, bytes int64) {
	if p.style.Width == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.shown) >= drawEvery {
		p.shown, p.drawn = now, true
		fmt.Fprintf(p.w, "\r\x1b[K%s", shortened(copyText(files, bytes), p.style.Width-1))
	}
}

// Close takes the line away.
func (p *CopyProgress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// CopyDone says what was copied, and what was not.
func CopyDone(w io.Writer, files int, bytes int64, took time.Duration, leftOut []string) {
	for n, thing := range leftOut {
		if n == mostLeftOut {
			fmt.Fprintf(w, "Left out: %d more\n", len(leftOut)-n)
			break
		}
		fmt.Fprintf(w, "Left out: %s\n", Clean(thing))
	}
	fmt.Fprintf(w, "Copied %s in %s.\n", copyText(files, bytes), short(took))
}

// mostLeftOut is how many things are named that were not copied: a guest may
// have any number of them.
const mostLeftOut = 20

func copyText(files int, bytes int64) string {
	return fmt.Sprintf("%s, %s", Count(files, "file"), amount(bytes))
}
