// Package supervisor decides when machines that ended by themselves are
// started again. It is pure: it is told what it sees and what time it is, and
// says what is due. It starts nothing; cmd/lkup does, by a plan like any other.
//
// What it remembers lasts as long as the process that asks it. After a crash
// it counts anew, which costs some restarts more and loses nothing.
package supervisor

import (
	"fmt"
	"slices"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// Delays between an end and the start that follows: each twice the last.
const (
	firstDelay = time.Second
	longest    = time.Minute
)

// steady is how long a machine must run for its earlier ends to be forgotten.
const steady = time.Minute

// Seen is a machine that should run, as it is now.
type Seen struct {
	Address spec.Address
	Restart spec.Restart
	// Ending is how it ended; drivers.NotEnded while it runs.
	Ending drivers.Ending
	// Health is what its probes came to; the zero value if it has none.
	Health Health
	// Panicked says that its console shows the kernel's last words, though its
	// process may have ended in order.
	Panicked bool
}

// failed reports whether the machine ended otherwise than by powering off.
func (s Seen) failed() bool { return s.Ending == drivers.EndedBad || s.Panicked || s.unhealthy() }

// unhealthy reports whether the machine runs, and does not do what it should.
func (s Seen) unhealthy() bool {
	return s.Ending == drivers.NotEnded && s.Health.Status == Unhealthy
}

// how says in words what became of the machine.
func (s Seen) how() string {
	switch {
	case s.unhealthy():
		return "it is unhealthy (" + s.Health.Last + ")"
	case s.failed():
		return "it crashed"
	}
	return "it powered off"
}

func (s Seen) kind() string {
	if s.unhealthy() {
		return Unhealthy
	}
	if s.failed() {
		return KindCrashed
	}
	return KindOff
}

// Note is something to be told to people.
type Note struct {
	Address spec.Address
	Kind    string // KindCrashed, KindOff or Unhealthy
	Text    string
}

// The kinds of note.
const (
	KindCrashed = "crashed"
	KindOff     = "off" // it powered itself off
)

// Supervisor remembers what it has seen. It is not safe for concurrent use.
type Supervisor struct {
	machines map[spec.Address]*record
}

// record is what is remembered of one machine.
type record struct {
	tries int       // starts in a row
	began time.Time // when it was last started, or first seen to run
	ended bool      // seen to have ended, and decided about
	due   time.Time // when it is to be started; zero: not at all
}

// Look is told of every machine that should run, and gives the ones that are
// to be started now, and what was decided.
func (s *Supervisor) Look(seen []Seen, now time.Time) (due []spec.Address, notes []Note) {
	before := s.machines
	s.machines = make(map[spec.Address]*record, len(seen))
	for _, m := range seen {
		r := before[m.Address]
		if r == nil {
			r = &record{began: now}
		}
		s.machines[m.Address] = r
		if text := r.look(m, now); text != "" {
			notes = append(notes, Note{m.Address, m.kind(), text})
		}
		if r.ended && !r.due.IsZero() && !now.Before(r.due) {
			due = append(due, m.Address)
		}
	}
	slices.Sort(due)
	return due, notes
}

// look decides about a machine once for each of its ends.
func (r *record) look(m Seen, now time.Time) string {
	if m.Ending == drivers.NotEnded && !m.unhealthy() {
		if r.ended {
			r.began, r.ended, r.due = now, false, time.Time{} // somebody started it
		}
		return ""
	}
	if r.ended {
		return ""
	}
	r.ended = true
	// One that was never well since its start has not been steady, however long
	// that took to show.
	if now.Sub(r.began) >= steady && (!m.unhealthy() || m.Health.WasHealthy) {
		r.tries = 0
	}
	how := m.how()
	switch {
	case m.Restart.Policy == "":
		return how + "; restart = \"no\" leaves it so"
	case m.Restart.Policy == spec.RestartOnFailure && !m.failed():
		return how + "; restart = \"" + m.Restart.Policy + "\" leaves it so"
	case r.tries >= m.Restart.Limit:
		return fmt.Sprintf("%s, %d times in a row; it stays down until the next lkup apply", how, r.tries+1)
	}
	delay := min(firstDelay<<min(r.tries, 16), longest)
	r.due = now.Add(delay)
	return fmt.Sprintf("%s; it is started again in %s (%d of %d)", how, delay, r.tries+1, m.Restart.Limit)
}

// Started says that the machines were tried to be started, whatever came of
// it. One that did not come up counts as having ended again.
func (s *Supervisor) Started(addresses []spec.Address, now time.Time) {
	for _, a := range addresses {
		if r := s.machines[a]; r != nil {
			r.tries++
			r.began, r.ended, r.due = now, false, time.Time{}
		}
	}
}
