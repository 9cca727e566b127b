package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/supervisor"
)

// probed reports whether an instance's health is to be probed: it was seen
// ready, and nobody holds it.
func probed(i state.Instance) bool {
	return i.Applied.Health.Interval > 0 && i.Applied.Running && i.Created && !i.Halted
}

// healthRecord is the health of one run of a machine, as others read it.
type healthRecord struct {
	Run state.Process `json:"run"`
	supervisor.Health
}

// readHealth gives what the supervisor found last, by address.
func readHealth(paths layout.Stack) map[spec.Address]healthRecord {
	content, err := os.ReadFile(paths.Health())
	if err != nil {
		return nil
	}
	var all map[spec.Address]healthRecord
	if json.Unmarshal(content, &all) != nil {
		return nil
	}
	return all
}

// healthOf is an instance's health, for people.
func healthOf(i state.Instance, all map[spec.Address]healthRecord) string {
	if !probed(i) {
		return ""
	}
	if r, found := all[i.Address]; found && r.Run == i.Proven && r.Status != "" {
		return r.Status
	}
	return supervisor.Starting
}

// probers probe machines in the background.
type probers struct {
	call  *call
	paths layout.Stack
	all   map[spec.Address]*prober
	group sync.WaitGroup
	// told is what others can read.
	told map[spec.Address]healthRecord
}

// prober probes one run of a machine.
type prober struct {
	instance state.Instance
	cancel   context.CancelFunc

	mu     sync.Mutex // guards health
	health supervisor.Health
}

func (p *prober) get() supervisor.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health
}

// newProbers goes on from what an earlier supervisor found.
func newProbers(call *call, paths layout.Stack) *probers {
	return &probers{call: call, paths: paths, all: map[spec.Address]*prober{}, told: readHealth(paths)}
}

// close ends all probing.
func (p *probers) close() {
	for _, one := range p.all {
		one.cancel()
	}
	p.group.Wait()
}

// follow probes those and only those that it should.
func (p *probers) follow(ctx context.Context, known state.State) {
	for a, one := range p.all {
		if i := known.Instances[a]; !probed(i) || i.ID != one.instance.ID || i.Proven != one.instance.Proven || !reflect.DeepEqual(i.Applied.Health, one.instance.Applied.Health) {
			one.cancel()
			delete(p.all, a)
		}
	}
	for _, a := range sortedKeys(known.Instances) {
		i := known.Instances[a]
		driver, found := allDrivers(p.call.Host)[i.Driver]
		if p.all[a] != nil || !probed(i) || i.Proven.PID == 0 || !found {
			continue
		}
		one := &prober{instance: i}
		if before := p.told[a]; before.Run == i.Proven {
			one.health = before.Health
		}
		var limited context.Context
		limited, one.cancel = context.WithCancel(ctx)
		p.all[a] = one
		probe := reconciler.NewProber(ssh.Access{Rand: rand.Reader, Now: p.call.Now}, driver, i, reconciler.Machine(i, p.paths, known.Project))
		p.group.Go(func() { one.run(limited, probe, p.call.Now) })
	}
}

// run probes until ctx ends.
func (p *prober) run(ctx context.Context, probe *reconciler.Prober, now func() time.Time) {
	defer probe.Close()
	h := p.instance.Applied.Health
	tick := time.NewTicker(h.Interval)
	defer tick.Stop()
	var ending time.Time // when it was first seen to power off
	for {
		limited, cancel := context.WithTimeout(ctx, h.Timeout)
		err := probe.Probe(limited)
		late := limited.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, reconciler.ErrEnding) && ending.IsZero() {
			ending = now()
		}
		held := errors.Is(err, reconciler.ErrPaused) ||
			errors.Is(err, reconciler.ErrEnding) && now().Sub(ending) < p.instance.Applied.Grace()
		if !held {
			failure := ""
			if err != nil {
				failure = err.Error()
			}
			if err != nil && late {
				failure = "no answer within " + h.Timeout.String()
			}
			p.mu.Lock()
			p.health = p.health.After(failure, h, now().Sub(p.instance.Proven.Started), now())
			p.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell lets others read the health, and gives those whose status has changed.
func (p *probers) tell() (changed []spec.Address) {
	now := map[spec.Address]healthRecord{}
	for a, one := range p.all {
		now[a] = healthRecord{Run: one.instance.Proven, Health: one.get()}
	}
	for _, a := range sortedKeys(now) {
		if before := p.told[a]; now[a].Status != "" && (now[a].Status != before.Status || now[a].Run != before.Run) {
			changed = append(changed, a)
		}
	}
	if maps.Equal(now, p.told) {
		return nil
	}
	content, err := json.Marshal(now)
	if err == nil {
		err = state.WriteFile(p.paths.Health(), content, 0o600)
	}
	if err == nil { // else it is tried again
		p.told = now
	}
	return changed
}
