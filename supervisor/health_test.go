package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/supervisor"
)

func TestHealthFollowsItsProbes(t *testing.T) {
	s := spec.Health{Interval: time.Second, Retries: 2, StartPeriod: 10 * time.Second}
	for _, tt := range []struct {
		name, probes string // one a second: + passes, - fails
		want         string
	}{
		{"never probed", "", ""},
		{"well at once", "+", supervisor.Healthy},
		{"ill within the start period", "--------", supervisor.Starting},
		{"ill beyond the start period", "------------", supervisor.Unhealthy},
		{"well once, so the start period is over", "+--", supervisor.Unhealthy},
		{"one failure is none", "+-+-+-", supervisor.Healthy},
		{"recovers", "+---+", supervisor.Healthy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h supervisor.Health
			now := time.Unix(0, 0)
			for up, c := range tt.probes {
				failure := ""
				if c == '-' {
					failure = "no"
				}
				now = now.Add(time.Second)
				h = h.After(failure, s, time.Duration(up)*time.Second, now)
			}
			if h.Status != tt.want {
				t.Errorf("%q, want %q", h.Status, tt.want)
			}
			if h.Status != "" && h.WasHealthy != strings.Contains(tt.probes, "+") {
				t.Errorf("was healthy: %v", h.WasHealthy)
			}
		})
	}
}

// A machine that is unhealthy counts as one that failed: it is started anew, so
// and so often.
func TestUnhealthyMachinesAreStartedAnew(t *testing.T) {
	for _, tt := range []struct {
		name    string
		restart spec.Restart
		well    bool // in between, for longer than a minute
		starts  int
		last    string
	}{
		{"no policy", spec.Restart{}, false, 0, `it is unhealthy (no); restart = "no" leaves it so`},
		{"on-failure", spec.Restart{Policy: spec.RestartOnFailure, Limit: 2}, false, 2, "stays down"},
		{"always", spec.Restart{Policy: spec.RestartAlways, Limit: 3}, false, 3, "stays down"},
		{"well in between", spec.Restart{Policy: spec.RestartAlways, Limit: 3}, true, 20, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s supervisor.Supervisor
			now := time.Unix(0, 0)
			said := ""
			look := func(h supervisor.Health) bool {
				due, notes := s.Look([]supervisor.Seen{{Address: "vm.a", Restart: tt.restart, Health: h}}, now)
				for _, n := range notes {
					said = n.Text
					if n.Kind != supervisor.Unhealthy {
						t.Errorf("kind %s", n.Kind)
					}
				}
				return len(due) == 1
			}
			starts := 0
			for range 20 {
				look(supervisor.Health{Status: supervisor.Starting})
				now = now.Add(2 * time.Minute) // slow to show
				ill := supervisor.Health{Status: supervisor.Unhealthy, Last: "no", WasHealthy: tt.well}
				look(ill)
				now = now.Add(time.Minute)
				if !look(ill) {
					break
				}
				starts++
				s.Started([]spec.Address{"vm.a"}, now)
			}
			if starts != tt.starts || !strings.Contains(said, tt.last) {
				t.Errorf("%d starts, want %d; said %q", starts, tt.starts, said)
			}
		})
	}
}
