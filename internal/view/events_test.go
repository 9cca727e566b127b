package view_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// clock is a time that only the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// moment is an event at a time since the beginning.
type moment struct {
	after time.Duration
	event reconciler.Event
}

const ms = time.Millisecond

func begin(a spec.Address, op string) reconciler.Event {
	return reconciler.Event{Address: a, Kind: reconciler.OpStarted, Op: op}
}

func reached(a spec.Address, s reconciler.Stage, took time.Duration) reconciler.Event {
	return reconciler.Event{Address: a, Kind: reconciler.StageReached, Stage: s, Took: took}
}

func done(a spec.Address, op string, took time.Duration) reconciler.Event {
	return reconciler.Event{Address: a, Kind: reconciler.OpDone, Op: op, Took: took}
}

// story is an apply with a bit of everything: one machine is created, one
// restarted, one fails, one waits for that, one is deleted.
func story() (*planner.Plan, []moment) {
	plan := &planner.Plan{
		Steps: []planner.Step{
			{Address: "vm.db", Action: planner.Restart},
			{Address: "vm.front", Action: planner.Create},
			{Address: "vm.old", Action: planner.Delete},
			{Address: `vm.web["blue"]`, Action: planner.Create},
			{Address: "vm.worker", Action: planner.Create},
			{Address: "vm.same", Action: planner.NoOp},
		},
		Ops: []planner.Op{
			{Step: 0, Phase: planner.Down}, {Step: 0, Phase: planner.Up, After: []int{0}}, {Step: 2, Phase: planner.Down},
			{Step: 3, Phase: planner.Up}, {Step: 4, Phase: planner.Up}, {Step: 1, Phase: planner.Up, After: []int{4}},
		},
	}
	web, worker := spec.Address(`vm.web["blue"]`), spec.Address("vm.worker")
	download := func(what string, done, total int64) reconciler.Event {
		return reconciler.Event{Address: web, Kind: reconciler.Downloading, Report: &sources.Progress{What: what, Done: done, Total: total}}
	}
	stopped := done("vm.db", "stop", 300*ms)
	stopped.Stop = drivers.StopReport{By: drivers.StopACPI, Took: 290 * ms}
	return plan, []moment{
		{0, begin("vm.db", "stop")},
		{10 * ms, begin("vm.old", "delete")},
		{20 * ms, begin(web, "create")},
		{30 * ms, begin(worker, "create")},
		{40 * ms, download("linux-image", 0, 34_000_000)},
		{50 * ms, download("linux-image", 17_000_000, 34_000_000)},
		{60 * ms, download("unpack kernel", 0, 0)},
		{300 * ms, stopped},
		{310 * ms, begin("vm.db", "start")},
		{320 * ms, reached(web, reconciler.StageImage, 300*ms)},
		{400 * ms, reached(web, reconciler.StageProcess, 380*ms)},
		{450 * ms, reached("vm.db", reconciler.StageProcess, 140*ms)},
		{500 * ms, done("vm.old", "delete", 490*ms)},
		{600 * ms, reached(web, reconciler.StageKernel, 580*ms)},
		{700 * ms, reached("vm.db", reconciler.StageReady, 390*ms)},
		{700 * ms, done("vm.db", "start", 390*ms)},
		{800 * ms, reconciler.Event{Address: worker, Kind: reconciler.Warning, Detail: "software emulation:\nslow \x1b[31mindeed"}},
		{900 * ms, reached(web, reconciler.StageSSH, 880*ms)},
		{950 * ms, reached(web, reconciler.StageReady, 930*ms)},
		{960 * ms, done(web, "create", 940*ms)},
		{65 * time.Second, reconciler.Event{Address: worker, Kind: reconciler.OpFailed, Op: "create", Took: 65 * time.Second,
			Err: errors.New("create vm.worker: not ready after 1m0s\nwaiting for tcp 80")}},
		{65 * time.Second, reconciler.Event{Address: "vm.front", Kind: reconciler.OpSkipped, Op: "create", Detail: "it waits for vm.worker"}},
	}
}

func tell(style view.Style, w *strings.Builder) {
	plan, moments := story()
	c := &clock{at: time.Unix(1_000_000, 0)}
	began := c.at
	p := view.Events(w, style, plan, c.now)
	for _, m := range moments {
		c.at = began.Add(m.after)
		m.event.Time = c.at
		p.Event(m.event)
	}
	p.Close()
}

func TestEventsAsLines(t *testing.T) {
	var out strings.Builder
	tell(pipe, &out)
	golden(t, "events-lines.txt", out.String())
}

func TestEventsOnATerminal(t *testing.T) {
	var out strings.Builder
	tell(view.Style{Width: 72}, &out)
	golden(t, "events-live.txt", out.String())
}

// screen is what a terminal shows after all that was written to it.
func screen(t *testing.T, written string, width int) []string {
	t.Helper()
	var rows []string
	row := 0
	for len(written) > 0 {
		switch {
		case strings.HasPrefix(written, "\x1b["):
			end := strings.IndexAny(written, "AKJm")
			switch written[end] {
			case 'A':
				var up int
				if _, err := fmt.Sscanf(written, "\x1b[%dA", &up); err != nil {
					t.Fatal(err)
				}
				if row -= up; row < 0 {
					t.Fatalf("the cursor left the screen")
				}
			case 'J':
				rows = rows[:min(row, len(rows))]
			}
			written = written[end+1:]
		default:
			line, rest, _ := strings.Cut(written, "\n")
			line = strings.TrimSuffix(line, "\x1b[K")
			if n := len([]rune(stripColours(line))); n >= width {
				t.Errorf("a line of %d columns wraps: %q", n, line)
			}
			if row == len(rows) {
				rows = append(rows, "")
			}
			rows[row] = stripColours(line)
			row, written = row+1, rest
		}
	}
	return rows
}

func stripColours(s string) string {
	for {
		from := strings.Index(s, "\x1b[")
		if from < 0 {
			return s
		}
		to := strings.IndexByte(s[from:], 'm')
		s = s[:from] + s[from+to+1:]
	}
}

func TestTerminalShowsInTheEnd(t *testing.T) {
	for _, style := range []view.Style{{Width: 100}, {Width: 100, Color: true}} {
		var out strings.Builder
		tell(style, &out)
		want := []string{
			`✓ vm.old          deleted 0.5s`,
			`✓ vm.db           process ✓ ready ✓ restarted 0.7s`,
			`! vm.worker  software emulation: slow indeed`,
			`✓ vm.web["blue"]  image ✓ process ✓ kernel ✓ ssh ✓ ready ✓ created 0.9s`,
			`✗ vm.worker       failed 1m5s  create vm.worker: not ready after 1m0s`,
			`- vm.front        skipped: it waits for vm.worker`,
			`Not done: 1 created, 1 restarted, 1 deleted, 1 failed, 1 skipped, in 1m5s.`,
		}
		if diff := cmp.Diff(want, screen(t, out.String(), style.Width)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTerminalShowsWhatGoesOn(t *testing.T) {
	plan, moments := story()
	c := &clock{at: time.Unix(1_000_000, 0)}
	began := c.at
	var out strings.Builder
	p := view.Events(&out, view.Style{Width: 60}, plan, c.now)
	for _, m := range moments[:14] {
		c.at = began.Add(m.after)
		p.Event(m.event)
	}
	c.at = began.Add(2 * time.Second)
	p.(view.Ticker).Tick()
	want := []string{
		`✓ vm.old          deleted 0.5s`,
		`  vm.db           process ✓ kernel … 2.0s`,
		`  vm.web["blue"]  image ✓ process ✓ kernel ✓ init … 2.0s`,
		`  vm.worker       creating … 2.0s`,
		`  1 waiting`,
	}
	if diff := cmp.Diff(want, screen(t, out.String(), 60)); diff != "" {
		t.Error(diff)
	}
}

func TestTerminalFitsManyMachines(t *testing.T) {
	plan := &planner.Plan{}
	for i := range 200 {
		plan.Steps = append(plan.Steps, planner.Step{Address: spec.Address(fmt.Sprintf("vm.a_rather_long_name_for_a_machine[%d]", i)), Action: planner.Create})
		plan.Ops = append(plan.Ops, planner.Op{Step: i, Phase: planner.Up})
	}
	c := &clock{at: time.Unix(1_000_000, 0)}
	var out strings.Builder
	p := view.Events(&out, view.Style{Width: 30}, plan, c.now)
	for _, s := range plan.Steps[:40] {
		p.Event(begin(s.Address, "create"))
	}
	rows := screen(t, out.String(), 30)
	if len(rows) > 20 {
		t.Errorf("%d rows do not fit on a small screen", len(rows))
	}
	if diff := cmp.Diff("  24 more worked on, 160 wai…", rows[len(rows)-1]); diff != "" {
		t.Error(diff)
	}
}

func TestEventsAsJSON(t *testing.T) {
	var out strings.Builder
	p := view.EventsJSON(&out)
	_, moments := story()
	for _, m := range moments {
		m.event.Time = time.Unix(1_000_000, 0).Add(m.after)
		p.Event(m.event)
	}
	p.Event(reconciler.Event{Address: "vm.b", Kind: reconciler.OpFailed, Op: "start", Err: fmt.Errorf("start vm.b: %w", &reconciler.StartError{
		Err: errors.New("exit status 1"), Reached: reconciler.StageKernel, Console: []string{"\x1b[31mpanic"}, Command: "qemu", Running: true,
	})})
	p.Close()
	golden(t, "events.jsonl", out.String())
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestEventsJSONOfNothing(t *testing.T) {
	var out strings.Builder
	view.EventsJSON(&out).Close()
	if diff := cmp.Diff(`{"format_version":"1","kind":"end","done":0,"failed":0,"skipped":0}`+"\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestEventsMayComeFromSeveralGoroutines is for the race detector; what is
// written must be whole lines all the same.
func TestEventsMayComeFromSeveralGoroutines(t *testing.T) {
	plan := &planner.Plan{}
	for i := range 50 {
		plan.Steps = append(plan.Steps, planner.Step{Address: spec.Address(fmt.Sprintf("vm.w[%d]", i)), Action: planner.Create})
		plan.Ops = append(plan.Ops, planner.Op{Step: i, Phase: planner.Up})
	}
	c := &clock{at: time.Unix(1_000_000, 0)}
	for name, make := range map[string]func(w *strings.Builder) view.Progress{
		"lines": func(w *strings.Builder) view.Progress { return view.Events(w, pipe, plan, c.now) },
		"live":  func(w *strings.Builder) view.Progress { return view.Events(w, terminal, plan, c.now) },
		"json":  func(w *strings.Builder) view.Progress { return view.EventsJSON(w) },
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			p := make(&out)
			var group sync.WaitGroup
			for _, s := range plan.Steps {
				group.Go(func() {
					p.Event(begin(s.Address, "create"))
					p.Event(reached(s.Address, reconciler.StageProcess, ms))
					p.Event(done(s.Address, "create", 2*ms))
				})
			}
			group.Wait()
			p.Close()
			want := "Done: 50 created, in 0.0s."
			rows := strings.Split(strings.TrimSpace(out.String()), "\n")
			if name == "live" {
				rows = screen(t, out.String(), terminal.Width)
			}
			if name == "json" {
				want = `{"kind":"end","done":50,"failed":0,"skipped":0}`
			}
			if diff := cmp.Diff(want, rows[len(rows)-1]); diff != "" {
				t.Error(diff)
			}
		})
	}
}
