package view

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Progress shows an apply while it goes on. Event may be called by several
// goroutines at once; Close once, after the last event.
type Progress interface {
	Event(e reconciler.Event)
	// Close prints how it went.
	Close()
}

// Ticker is a Progress that shows time passing: the caller may call Tick now
// and then, some times a second.
type Ticker interface {
	Tick()
}

// Events shows an apply to a person: on a terminal with a line per machine
// that changes in place, elsewhere with a line per event. now is the clock
// that events are stamped by.
func Events(w io.Writer, style Style, plan *planner.Plan, now func() time.Time) Progress {
	t := newTrack(plan, now)
	if style.Width == 0 {
		return &lines{w: w, style: style, track: t, told: map[string]bool{}}
	}
	return &live{w: w, style: style, track: t, rows: map[spec.Address]*row{}}
}

var errUnexplained = errors.New("nothing more is known")

// track counts how far a plan has come.
type track struct {
	now     func() time.Time
	began   time.Time
	actions map[spec.Address]planner.Action
	left    map[spec.Address]int   // ops that have not ended
	failed  map[spec.Address]error // the first one
	skipped map[spec.Address]bool
	done    map[spec.Address]bool
}

func newTrack(plan *planner.Plan, now func() time.Time) *track {
	t := &track{
		now: now, began: now(),
		actions: map[spec.Address]planner.Action{},
		left:    map[spec.Address]int{},
		failed:  map[spec.Address]error{},
		skipped: map[spec.Address]bool{},
		done:    map[spec.Address]bool{},
	}
	for _, op := range plan.Ops {
		step := plan.Steps[op.Step]
		t.actions[step.Address] = step.Action
		if !step.Withdraws(op.Phase) {
			t.left[step.Address]++
		}
	}
	return t
}

// note takes in an event, and reports whether its machine has come to an end.
func (t *track) note(e reconciler.Event) (ended bool) {
	switch e.Kind {
	case reconciler.OpFailed:
		if t.failed[e.Address] == nil {
			t.failed[e.Address] = cmp.Or(e.Err, errUnexplained)
		}
	case reconciler.OpSkipped:
		t.skipped[e.Address] = true
	case reconciler.OpDone:
	default:
		return false
	}
	t.left[e.Address]--
	if t.left[e.Address] != 0 {
		return false
	}
	t.done[e.Address] = t.failed[e.Address] == nil && !t.skipped[e.Address]
	return true
}

// summary is how it went, in a line.
func (t *track) summary(style Style) string {
	count := map[planner.Action]int{}
	failed, skipped := 0, 0
	for a, action := range t.actions {
		switch {
		case t.failed[a] != nil:
			failed++
		case t.done[a]:
			count[action]++
		default:
			skipped++
		}
	}
	var words []string
	for _, action := range []planner.Action{
		planner.Create, planner.Start, planner.Update, planner.Restart, planner.Replace, planner.Stop, planner.Delete, planner.Forget,
	} {
		words = appendIf(words, count[action], past(action))
	}
	words = appendIf(words, failed, "failed")
	words = appendIf(words, skipped, "skipped")
	if len(words) == 0 {
		words = []string{"nothing to do for any machine"}
	}
	head := style.paint(green, "Done:")
	if failed+skipped > 0 {
		head = style.paint(red, "Not done:")
	}
	return fmt.Sprintf("%s %s, in %s.\n", head, strings.Join(words, ", "), short(t.now().Sub(t.began)))
}

// past is what an action has done.
func past(a planner.Action) string {
	switch a {
	case planner.Create:
		return "created"
	case planner.Start:
		return "started"
	case planner.Update:
		return "updated"
	case planner.Restart:
		return "restarted"
	case planner.Replace:
		return "replaced"
	case planner.Stop:
		return "stopped"
	case planner.Delete:
		return "deleted"
	case planner.Forget:
		return "forgotten"
	default:
		return string(a)
	}
}

// opWords are an op as it goes on, and when it is done.
func opWords(op string) (doing, done string) {
	switch op {
	case "create":
		return "creating", "created"
	case "start":
		return "starting", "started"
	case "stop":
		return "stopping", "stopped"
	case "delete":
		return "deleting", "deleted"
	case "forget":
		return "forgetting", "forgotten"
	case "update":
		return "updating", "updated"
	default:
		return op, op + " done"
	}
}

// short is a duration for people: 0.3s, 12.0s, 2m3s.
func short(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", max(0, d).Seconds())
	}
	return d.Round(time.Second).String()
}

// amount is a number of bytes for people.
func amount(bytes int64) string {
	const step = 1000
	value, unit := float64(bytes), 0
	for value >= step && unit < 4 {
		value, unit = value/step, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGT"[unit-1])
}

// firstLine is what a line of progress says of an error; the whole is printed
// at the end.
func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(Clean(err.Error())), "\n")
	return line
}

// downloadText is how far a download or a build is.
func downloadText(p sources.Progress) string {
	what := oneLine(p.What)
	switch {
	case p.Total > 0:
		return fmt.Sprintf("%s %d%% of %s", what, min(100, 100*p.Done/p.Total), amount(p.Total))
	case p.Done > 0:
		return what + " " + amount(p.Done)
	}
	return what + " …"
}
