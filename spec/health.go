package spec

import (
	"net/url"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// Health says how a VM is probed for as long as it runs. Without an Interval it
// is not. Of several probes all must pass; with none, those of Ready are tried,
// or else SSH.
type Health struct {
	TCP  int      `json:"tcp,omitempty"`
	HTTP string   `json:"http,omitempty"`
	Exec []string `json:"exec,omitempty"`
	// Interval, Timeout and StartPeriod are nanoseconds in JSON. What fails
	// within StartPeriod after the start does not count.
	Interval    time.Duration `json:"interval,omitempty"`
	Timeout     time.Duration `json:"timeout,omitempty"`
	StartPeriod time.Duration `json:"start_period,omitempty"`
	Retries     int           `json:"retries,omitempty"` // failures in a row that make it unhealthy
}

// The defaults are Compose's, but for the first look, which need not wait.
const (
	defaultHealthInterval = 30 * time.Second
	defaultHealthTimeout  = 10 * time.Second
	defaultHealthRetries  = 3
	shortestInterval      = time.Second
)

// health reads the health block.
func (i *instance) health(b *block) {
	i.origin("health", b.at)
	h := Health{Interval: defaultHealthInterval, Timeout: defaultHealthTimeout, Retries: defaultHealthRetries}
	if n, state := i.whole(b, "tcp", "health.tcp", 1, mostPort, 80); state == present {
		h.TCP = n
	}
	if text, state := i.text(b, "http", "health.http"); state == present {
		h.HTTP = text
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			i.wrong(b, "http", "Invalid URL", "It is a URL as seen inside the guest. Write, for example: http = \"http://localhost:80/\"")
		}
	}
	h.Exec = i.words(b, "exec", "health.exec")
	if n, state := i.whole(b, "retries", "health.retries", 1, 1000, 3); state == present {
		h.Retries = n
	}
	i.period(b, "health.", "interval", "30s", &h.Interval)
	i.period(b, "health.", "timeout", "10s", &h.Timeout)
	i.period(b, "health.", "start_period", "1m", &h.StartPeriod)
	if h.Interval != 0 && h.Interval < shortestInterval {
		i.wrong(b, "interval", "Invalid duration", "Each probe costs the guest work. Write an interval of 1s or more.")
	}
	i.vm.Health = h
}

// period reads a duration; group is what its path begins with.
func (i *instance) period(b *block, group, name, example string, into *time.Duration) {
	v, ok := i.known(b, name, group+name, cty.DynamicPseudoType)
	if !ok {
		return
	}
	if v.Type() != cty.String {
		i.wrong(b, name, "Duration without a unit", "A duration is a text with a unit. Write, for example: %s = %q", name, example)
		return
	}
	d, problem := parseDuration(v.AsString())
	if problem != "" {
		i.wrong(b, name, "Invalid duration", "%s", problem)
		return
	}
	*into = d
}
