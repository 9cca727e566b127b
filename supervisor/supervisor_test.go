package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/supervisor"
)

// watch is a supervisor with a clock, and one machine.
type watch struct {
	supervisor.Supervisor
	restart spec.Restart
	now     time.Time
}

// see tells how the machine is, and gives whether it is to be started, and
// what was said.
func (w *watch) see(after time.Duration, ending drivers.Ending, panicked bool) (due bool, said string) {
	w.now = w.now.Add(after)
	addresses, notes := w.Look([]supervisor.Seen{{Address: "vm.a", Restart: w.restart, Ending: ending, Panicked: panicked}}, w.now)
	for _, n := range notes {
		said += n.Text
	}
	return len(addresses) == 1, said
}

// starts lets the machine end at once, again and again, and lists how long it
// waits before each start.
func (w *watch) starts(ending drivers.Ending, panicked bool) (delays []time.Duration, last string) {
	for range 20 {
		w.see(0, drivers.NotEnded, false)
		began := w.now
		due, said := w.see(0, ending, panicked)
		for !due && w.now.Sub(began) < 5*time.Minute {
			due, _ = w.see(time.Second, ending, panicked)
		}
		if !due {
			return delays, said
		}
		delays = append(delays, w.now.Sub(began))
		w.Started([]spec.Address{"vm.a"}, w.now)
	}
	return delays, "and so on"
}

func TestPoliciesDecideWhatIsStartedAgain(t *testing.T) {
	always, onFailure := spec.Restart{Policy: spec.RestartAlways, Limit: 2}, spec.Restart{Policy: spec.RestartOnFailure, Limit: 2}
	for _, tt := range []struct {
		name     string
		restart  spec.Restart
		ending   drivers.Ending
		panicked bool
		starts   int
		last     string
	}{
		{"always, killed", always, drivers.EndedBad, false, 2, "it crashed, 3 times in a row"},
		{"always, powered off", always, drivers.EndedOff, false, 2, "it powered off, 3 times in a row"},
		{"on failure, killed", onFailure, drivers.EndedBad, false, 2, "3 times in a row"},
		{"on failure, panicked and rebooted", onFailure, drivers.EndedOff, true, 2, "it crashed"},
		{"on failure, powered off", onFailure, drivers.EndedOff, false, 0, "leaves it so"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := watch{restart: tt.restart}
			delays, last := w.starts(tt.ending, tt.panicked)
			if len(delays) != tt.starts || !strings.Contains(last, tt.last) {
				t.Errorf("started after %v, and last it said %q", delays, last)
			}
		})
	}
}

func TestEachStartWaitsTwiceAsLong(t *testing.T) {
	w := watch{restart: spec.Restart{Policy: spec.RestartAlways, Limit: 8}}
	delays, _ := w.starts(drivers.EndedBad, false)
	var want []time.Duration
	for _, seconds := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
		want = append(want, time.Duration(seconds*float64(time.Second)))
	}
	if diff := cmp.Diff(want, delays); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
}

func TestAMachineThatRanForLongCountsAnew(t *testing.T) {
	w := watch{restart: spec.Restart{Policy: spec.RestartAlways, Limit: 1}}
	for range 5 {
		w.see(0, drivers.NotEnded, false)
		w.see(2*time.Minute, drivers.EndedBad, false)
		if due, _ := w.see(time.Second, drivers.EndedBad, false); !due {
			t.Fatal("it is not started again, though it ran for two minutes")
		}
		w.Started([]spec.Address{"vm.a"}, w.now)
	}
}

func TestWhatSomebodyElseStartedIsLeftAlone(t *testing.T) {
	w := watch{restart: spec.Restart{Policy: spec.RestartAlways, Limit: 5}}
	w.see(0, drivers.NotEnded, false)
	w.see(0, drivers.EndedBad, false)
	if due, said := w.see(time.Minute, drivers.NotEnded, false); due || said != "" {
		t.Errorf("due: %t, said: %q", due, said)
	}
}
