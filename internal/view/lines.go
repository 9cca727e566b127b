package view

import (
	"fmt"
	"io"
	"sync"

	"github.com/lkup/lkup/reconciler"
)

// lines shows each event as a line, in words that stay the same.
type lines struct {
	mu    sync.Mutex // guards all below
	w     io.Writer
	style Style
	track *track
	told  map[string]bool // downloads that were announced
}

// Event prints the event.
func (l *lines) Event(e reconciler.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := l.text(e); text != "" {
		if e.Address != "" {
			text = string(e.Address) + ": " + text
		}
		fmt.Fprintln(l.w, text)
	}
	l.track.note(e)
}

// Close prints the summary.
func (l *lines) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprint(l.w, l.track.summary(l.style))
}

func (l *lines) text(e reconciler.Event) string {
	doing, done := opWords(e.Op)
	switch e.Kind {
	case reconciler.OpStarted:
		return doing
	case reconciler.StageReached:
		return fmt.Sprintf("%s (%s)", e.Stage, short(e.Took))
	case reconciler.OpDone:
		if e.Stop.By != "" {
			return fmt.Sprintf("%s (%s, by %s)", done, short(e.Took), e.Stop.By)
		}
		return fmt.Sprintf("%s (%s)", done, short(e.Took))
	case reconciler.OpFailed:
		return fmt.Sprintf("%s after %s: %s", l.style.paint(red, "failed"), short(e.Took), firstLine(e.Err))
	case reconciler.OpSkipped:
		return skippedText(e)
	case reconciler.Downloading:
		return l.download(e)
	case reconciler.Warning:
		return l.style.paint(yellow, "warning") + ": " + oneLine(e.Detail)
	case reconciler.Synced:
		return oneLine(fmt.Sprintf("synced %s (%s)", e.Detail, short(e.Took)))
	}
	return oneLine(fmt.Sprintf("%s %s", e.Kind, e.Detail))
}

func skippedText(e reconciler.Event) string {
	if e.Detail == "" {
		return "skipped"
	}
	return "skipped: " + oneLine(e.Detail)
}

// download announces each thing once: a pipe has no use for a bar.
func (l *lines) download(e reconciler.Event) string {
	if e.Report == nil || l.told[e.Report.What] {
		return ""
	}
	l.told[e.Report.What] = true
	if e.Report.Total > 0 {
		return fmt.Sprintf("%s (%s)", oneLine(e.Report.What), amount(e.Report.Total))
	}
	return oneLine(e.Report.What)
}
