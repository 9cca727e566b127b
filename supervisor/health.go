package supervisor

import (
	"time"

	"github.com/lkup/lkup/spec"
)

// The states of a machine's health.
const (
	Starting  = "starting" // not probed with success yet
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Health is what the probes of one run of a machine came to. The zero value is
// of one that was not probed yet.
type Health struct {
	Status   string    `json:"status,omitempty"` // Starting if empty
	Since    time.Time `json:"since,omitzero"`
	Failures int       `json:"failures,omitempty"` // in a row
	Last     string    `json:"last,omitempty"`     // what the last failure said
	// WasHealthy says that some probe of this run has passed.
	WasHealthy bool `json:"was_healthy,omitempty"`
}

// After is the health once a probe has passed, or failed with a text. up is for
// how long the machine had run.
func (h Health) After(failure string, s spec.Health, up time.Duration, now time.Time) Health {
	if failure == "" {
		h.Failures, h.WasHealthy = 0, true
		return h.become(Healthy, now)
	}
	h.Last = failure
	if up < s.StartPeriod && !h.WasHealthy {
		return h.become(Starting, now)
	}
	if h.Failures++; h.Failures >= s.Retries {
		return h.become(Unhealthy, now)
	}
	if h.Status == "" {
		return h.become(Starting, now)
	}
	return h
}

func (h Health) become(status string, now time.Time) Health {
	if h.Status != status {
		h.Status, h.Since = status, now
	}
	return h
}
