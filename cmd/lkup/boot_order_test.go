package main

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/tools/txtar"
)

const (
	// guestsAtOnce is how many guests the scripts run together: enough for two cores.
	guestsAtOnce = 4
	// scriptsAtOnce is how many scripts run together: they wait now and then.
	scriptsAtOnce = 3
)

// longestFirst are the scripts that take minutes: what begins last ends last,
// and then nothing runs beside it.
var longestFirst = []string{"debian", "dev", "agent", "docker", "cd", "emulated", "official", "networks"}

// bootQueue gives out scripts, each when there is room for its guests.
type bootQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	waiting []bootScript
	room    int // for guests
}

type bootScript struct {
	path   string
	guests int
}

func newBootQueue(t *testing.T, dir string) *bootQueue {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	q := &bootQueue{room: guestsAtOnce}
	q.changed = sync.NewCond(&q.mu)
	for _, path := range paths {
		script, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		q.waiting = append(q.waiting, bootScript{path, min(guestsOf(script), guestsAtOnce)})
	}
	slices.SortStableFunc(q.waiting, func(a, b bootScript) int { return rank(a.path) - rank(b.path) })
	return q
}

func rank(path string) int {
	if at := slices.Index(longestFirst, strings.TrimSuffix(filepath.Base(path), ".txtar")); at >= 0 {
		return at
	}
	return len(longestFirst)
}

// guestsOf counts the guests of a script: those of its largest stack file, the
// three of examples/hello, or one.
func guestsOf(script *txtar.Archive) int {
	most := 1
	if strings.Contains(string(script.Comment), "$EXAMPLES") {
		most = 3
	}
	for _, f := range script.Files {
		if strings.HasSuffix(f.Name, ".hcl") {
			content := "\n" + string(f.Data)
			most = max(most, strings.Count(content, "\nvm \"")+strings.Count(content, "\ndevenv \""))
		}
	}
	return most
}

// take waits for a script that there is room for; ok is false when none is left.
func (q *bootQueue) take() (s bootScript, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) > 0 {
		at := slices.IndexFunc(q.waiting, func(s bootScript) bool { return s.guests <= q.room })
		if at >= 0 {
			s = q.waiting[at]
			q.waiting = slices.Delete(q.waiting, at, at+1)
			q.room -= s.guests
			return s, true
		}
		q.changed.Wait()
	}
	return s, false
}

func (q *bootQueue) done(s bootScript) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room += s.guests
	q.changed.Broadcast()
}

// run runs all scripts, in the queue's order and not in that of package testing.
func (q *bootQueue) run(t *testing.T, p testscript.Params) {
	p.Deadline, _ = t.Deadline() // as testscript.Run has it
	var workers sync.WaitGroup
	for range scriptsAtOnce {
		workers.Go(func() {
			for s, ok := q.take(); ok; s, ok = q.take() {
				one := p
				one.Files = []string{s.path}
				testscript.RunT(inTurn{t}, one)
				q.done(s)
			}
		})
	}
	workers.Wait()
}

// inTurn is a test whose parts run when they are told to.
type inTurn struct{ *testing.T }

func (inTurn) Parallel() {}

func (t inTurn) Verbose() bool { return testing.Verbose() }

func (t inTurn) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(inTurn{t}) })
}
