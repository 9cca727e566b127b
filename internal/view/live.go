package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// mostRows is how many machines that are worked on show at once. They must fit
// on the screen: what has scrolled away cannot be drawn over.
const mostRows = 16

// live shows the machines that are worked on, a line each, and draws over them
// as events come in. A machine that has come to an end leaves its line above.
type live struct {
	mu     sync.Mutex // guards all below
	w      io.Writer
	style  Style
	track  *track
	rows   map[spec.Address]*row
	order  []spec.Address // of rows, oldest first
	height int            // lines that stand on the screen and can be drawn over
	ended  int            // machines
	// show, if set, draws instead of overdraw: lines that stay, and those of
	// machines that are worked on.
	show func(above, below []line)
}

// row is a machine that is worked on.
type row struct {
	op     string
	began  time.Time
	stages []reconciler.Stage
	report string // of a download
}

// Event takes the event in and redraws.
func (l *live) Event(e reconciler.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	above := l.apply(e)
	if l.track.note(e) {
		l.ended++
		above = append(above, l.conclusion(e))
		delete(l.rows, e.Address)
		l.order = slices.DeleteFunc(l.order, func(a spec.Address) bool { return a == e.Address })
	}
	l.draw(above)
}

// Tick redraws, so that the times go on.
func (l *live) Tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw(nil)
}

// Close takes the lines away that were still worked on, and prints the summary.
func (l *live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows, l.order = nil, nil
	l.ended = len(l.track.actions)
	l.draw(nil)
	fmt.Fprint(l.w, l.track.summary(l.style))
}

// apply brings a machine's row up to date, and returns lines that are to stay.
func (l *live) apply(e reconciler.Event) []line {
	switch e.Kind {
	case reconciler.Warning:
		return []line{{{"! ", yellow}, text(subject(e) + oneLine(e.Detail))}}
	case reconciler.Synced:
		return []line{{text("  " + subject(e) + oneLine("synced "+e.Detail) + " (" + short(e.Took) + ")")}}
	case reconciler.OpStarted:
		l.row(e).op = e.Op
	case reconciler.StageReached:
		r := l.row(e)
		r.stages, r.report = append(r.stages, e.Stage), ""
	case reconciler.Downloading:
		if e.Report != nil {
			l.row(e).report = downloadText(*e.Report)
		}
	case reconciler.OpDone:
		l.row(e).op = "" // until its other half begins
	case reconciler.OpFailed, reconciler.OpSkipped:
	}
	return nil
}

func subject(e reconciler.Event) string {
	if e.Address == "" {
		return ""
	}
	return string(e.Address) + "  "
}

func (l *live) row(e reconciler.Event) *row {
	r := l.rows[e.Address]
	if r == nil {
		r = &row{op: e.Op, began: l.track.now()}
		l.rows[e.Address] = r
		l.order = append(l.order, e.Address)
	}
	return r
}

// conclusion is the line that a machine leaves.
func (l *live) conclusion(e reconciler.Event) line {
	name := cell{pad(string(e.Address), l.nameWidth()), bold}
	r := l.rows[e.Address]
	var stages []cell
	took := e.Took
	if r != nil {
		took = l.track.now().Sub(r.began)
		stages = stageCells(r.stages)
	}
	switch {
	case l.track.failed[e.Address] != nil:
		out := append(line{{"✗ ", red}, name, text("  ")}, stages...)
		return append(out, cell{"failed ", red}, text(short(took)+"  "+firstLine(l.track.failed[e.Address])))
	case l.track.skipped[e.Address]:
		return line{{"- ", dim}, name, text("  "), {skippedText(e), dim}}
	}
	out := append(line{{"✓ ", green}, name, text("  ")}, stages...)
	return append(out, text(past(l.track.actions[e.Address])+" "), cell{short(took), dim})
}

func stageCells(stages []reconciler.Stage) []cell {
	var all []cell
	for _, s := range stages {
		all = append(all, text(string(s)+" "), cell{"✓ ", green})
	}
	return all
}

// working is the line of a machine that is worked on.
func (l *live) working(a spec.Address) line {
	r := l.rows[a]
	doing, _ := opWords(r.op)
	out := append(line{text("  "), {pad(string(a), l.nameWidth()), bold}, text("  ")}, stageCells(r.stages)...)
	switch {
	case r.report != "":
		out = append(out, text(r.report+" "))
	case len(r.stages) > 0 && next(r.stages) != "":
		out = append(out, text(string(next(r.stages))+" … "))
	case r.op == "":
		out = append(out, text("waiting … "))
	case len(r.stages) == 0:
		out = append(out, text(doing+" … "))
	}
	return append(out, cell{short(l.track.now().Sub(r.began)), dim})
}

// next is the stage that most guests reach after those.
func next(reached []reconciler.Stage) reconciler.Stage {
	all := []reconciler.Stage{
		reconciler.StageImage, reconciler.StageProcess, reconciler.StageKernel, reconciler.StageInit,
		reconciler.StageNetwork, reconciler.StageSSH, reconciler.StageReady,
	}
	at := slices.Index(all, reached[len(reached)-1]) + 1
	if at == len(all) {
		return ""
	}
	return all[at]
}

func (l *live) nameWidth() int {
	width := 0
	for a := range l.track.actions {
		width = max(width, columns(string(a)))
	}
	return min(width, 32)
}

func (l *live) draw(above []line) {
	if l.show != nil {
		l.show(above, l.below())
		return
	}
	l.overdraw(above, l.below())
}

// overdraw replaces the lines on the screen in a single write, so that none of
// it flickers: lines that stay, then the machines that are worked on.
func (l *live) overdraw(above, below []line) {
	var b strings.Builder
	if l.height > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.height)
	}
	for _, one := range slices.Concat(above, below) {
		b.WriteString(l.style.clipped(one) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J") // clear what stood further down
	l.height = len(below)
	_, _ = io.WriteString(l.w, b.String()) // a terminal that is gone is no reason to stop
}

// below is the lines that will be drawn over.
func (l *live) below() []line {
	var all []line
	for _, a := range l.order[:min(mostRows, len(l.order))] {
		all = append(all, l.working(a))
	}
	waiting := len(l.track.actions) - l.ended - len(l.order)
	hidden := len(l.order) - len(all)
	var words []string
	words = appendIf(words, hidden, "more worked on")
	words = appendIf(words, waiting, "waiting")
	if len(words) > 0 {
		all = append(all, line{{"  " + strings.Join(words, ", "), dim}})
	}
	return all
}

// line is what stands in one row of the terminal.
type line []cell

// clipped is a line that does not reach the terminal's edge, where it would
// wrap and no longer be one.
func (s Style) clipped(one line) string {
	var b strings.Builder
	left := s.Width - 1
	for _, c := range one {
		t := shortened(c.text, max(left, 0))
		if left <= 0 {
			break
		}
		b.WriteString(s.paint(c.paint, t))
		left -= columns(t)
	}
	return b.String()
}
