package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/state"
)

const (
	pollEvery = 25 * time.Millisecond
	// statusEvery is how often the driver is asked whether the process lives.
	statusEvery = 200 * time.Millisecond
	// sshBackoff is the pause after SSH did not answer though the guest never
	// said that it listens: each try costs the guest a handshake.
	sshBackoff = 300 * time.Millisecond
)

// errExited says that the machine ended while it was awaited.
var errExited = errors.New("its process ended before it was ready")

// wait follows one machine from its start until it is ready.
type wait struct {
	*unit
	driver   drivers.Driver
	instance state.Instance
	machine  drivers.Machine
	console  *console
	stage    Stage // the last one reached
	probes   []*probe
	conn     Guest
	listens  bool // the guest said that its SSH server listens
	dialled  time.Time
	asked    time.Time
	sshError error
	failed   error // a service cannot run, as the guest says
	// unmounted is a volume or a share that the guest could not mount.
	unmounted error
	copied    bool // its copied shares are there
}

func newWait(u *unit, driver drivers.Driver, i state.Instance, m drivers.Machine) *wait {
	return &wait{
		unit: u, driver: driver, instance: i, machine: m,
		console: newConsole(m.Dir),
		probes:  probesOf(i.Applied, i.Enterable()),
		copied:  len(copiedShares(i.Applied)) == 0,
	}
}

// ready polls until every probe has passed.
func (w *wait) ready(ctx context.Context) error {
	timeout := w.instance.Applied.Ready.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &timeoutError{after: timeout})
	defer cancel()
	defer w.hangUp()
	w.advance(StageProcess)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		done, err := w.look(ctx)
		if err != nil {
			return err
		}
		if done {
			w.advance(StageReady)
			return nil
		}
		select {
		case <-ctx.Done():
			return w.gaveUp(context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// look takes in what is new and tries what may pass now.
func (w *wait) look(ctx context.Context) (done bool, err error) {
	lines, err := w.console.read()
	if err != nil {
		return false, err
	}
	for _, line := range lines {
		w.hear(line)
	}
	if w.unmounted != nil {
		return false, w.unmounted
	}
	if now := w.Now(); now.Sub(w.asked) >= statusEvery {
		w.asked = now
		status, err := w.driver.Status(ctx, w.machine)
		if err != nil && ctx.Err() == nil {
			return false, err
		}
		if err == nil && status.State == drivers.Paused {
			return false, fmt.Errorf("it is paused: %s", status.Detail)
		}
		if err == nil && status.State != drivers.Running {
			return false, errExited
		}
	}
	if w.needsSSH() && w.conn == nil {
		w.dial(ctx)
	}
	if !w.copied { // nothing is asked of a guest that lacks its files
		return false, w.copy(ctx)
	}
	if w.probe(ctx) {
		return true, nil
	}
	if w.failed != nil && w.awaitsService() {
		return false, w.failed
	}
	return false, nil
}

// awaitsService reports whether a probe is open that a service may have to
// answer: to wait for that is in vain where one cannot run.
func (w *wait) awaitsService() bool {
	return slices.ContainsFunc(w.probes, func(p *probe) bool { return !p.passed && p.name != sshProbe })
}

// hear takes in one line of the console.
func (w *wait) hear(line string) {
	if w.stage == StageProcess {
		w.advance(StageKernel)
	}
	if stage, announced := guest.ParseMarker(line); announced {
		switch stage {
		case guest.StageInit:
			w.advance(StageInit)
		case guest.StageNetwork:
			w.advance(StageNetwork)
		case guest.StageSSH:
			w.listens = true
			if !w.needsSSH() { // else the answer counts, not the word
				w.advance(StageSSH)
			}
		case guest.StageVolumes, guest.StageUp:
		}
	}
	if service, reason, failed := guest.ParseFailure(line); failed && w.instance.Guest && w.failed == nil {
		w.failed = fmt.Errorf("service %s cannot run: %s", service, reason)
	}
	if what, reason, failed := guest.ParseUnmounted(line); failed && (w.instance.Guest || w.instance.Applied.Seed.Cloud()) {
		w.unmounted = fmt.Errorf("%s is not mounted: %s", what, reason)
	}
	for _, p := range w.probes {
		p.hear(line)
	}
}

// dial opens the one connection that all probes share.
func (w *wait) dial(ctx context.Context) {
	now := w.Now()
	if !w.listens && now.Sub(w.dialled) < sshBackoff {
		return
	}
	w.dialled = now
	ctx, cancel := context.WithTimeout(ctx, patience(w.instance))
	defer cancel()
	conn, err := w.Access.Dial(ctx, w.machine)
	if err != nil {
		if ctx.Err() == nil || w.sshError == nil { // else it says less than an earlier one
			w.sshError = err
		}
		return
	}
	w.conn = conn
	w.advance(StageSSH)
}

// strangerLimit bounds a try where SSH is not lkup's own: its server starts
// programs for each connection, which an emulated guest on a busy host does in
// seconds. Those that are given up on would keep it from the next.
const strangerLimit = 15 * time.Second

// patience bounds one try of what goes through the guest's SSH server.
func patience(i state.Instance) time.Duration {
	if i.Guest {
		return probeLimit
	}
	return strangerLimit
}

func (w *wait) hangUp() {
	if w.conn != nil {
		_ = w.conn.Close() // it has served
	}
}

func (w *wait) needsSSH() bool {
	if !w.copied {
		return true
	}
	for _, p := range w.probes {
		if p.ssh {
			return true
		}
	}
	return false
}

// probe tries every probe that has not passed yet.
func (w *wait) probe(ctx context.Context) bool {
	all := true
	for _, p := range w.probes {
		if p.passed || p.ssh && w.conn == nil {
			all = all && p.passed
			continue
		}
		limit := probeLimit
		if p.ssh {
			limit = patience(w.instance)
		}
		limited, cancel := context.WithTimeout(ctx, limit)
		err := p.try(limited, w.conn)
		cancel()
		p.passed = err == nil
		if err == nil || ctx.Err() == nil { // else the answer is only that time is up
			p.last = err
		}
		all = all && p.passed
	}
	return all
}

// order gives stages a rank, so that none is told twice or backwards.
var order = map[Stage]int{
	StageImage: 1, StageProcess: 2, StageKernel: 3, StageInit: 4, StageNetwork: 5, StageSSH: 6, StageReady: 7, StageCompleted: 7,
}

func (w *wait) advance(s Stage) {
	if order[s] <= order[w.stage] {
		return
	}
	w.stage = s
	w.reached(s)
}

// timeoutError says that ready.timeout passed.
type timeoutError struct {
	after   time.Duration
	waiting []string // what each probe last said
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("it was not ready within %s", e.after)
}

// gaveUp adds to a time-out what was still being waited for.
func (w *wait) gaveUp(cause error) error {
	var timeout *timeoutError
	if !errors.As(cause, &timeout) {
		return cause
	}
	e := &timeoutError{after: timeout.after}
	if !w.copied {
		e.waiting = []string{fmt.Sprintf("its shares are not copied: SSH does not answer, or its volumes are not mounted: %v", w.sshError)}
		return e
	}
	for _, p := range w.probes {
		switch {
		case p.passed:
		case p.ssh && w.conn == nil:
			e.waiting = append(e.waiting, fmt.Sprintf("%s: SSH does not answer: %v", p.name, w.sshError))
		default:
			e.waiting = append(e.waiting, fmt.Sprintf("%s: %v", p.name, p.last))
		}
	}
	return e
}
