package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// Prober probes the health of one machine, over one connection as long as that
// lasts. It is for one goroutine.
type Prober struct {
	access  Access
	driver  drivers.Driver
	machine drivers.Machine
	probes  []*probe
	conn    Guest
}

// NewProber makes the prober of an instance; it must be closed.
func NewProber(access Access, driver drivers.Driver, i state.Instance, m drivers.Machine) *Prober {
	return &Prober{access: access, driver: driver, machine: m, probes: healthProbes(i.Applied, i.Enterable())}
}

// healthProbes are those of the health block, or of the ready block if it has
// none. What the console once said is no sign of health.
func healthProbes(vm spec.VM, enterable bool) []*probe {
	h, ready := vm.Health, vm.Ready
	vm.Ready = spec.Ready{TCP: h.TCP, HTTP: h.HTTP, Exec: h.Exec}
	if h.TCP == 0 && h.HTTP == "" && len(h.Exec) == 0 {
		vm.Ready = ready
		vm.Ready.Log = ""
	}
	return probesOf(vm, enterable)
}

// ErrPaused says that a machine cannot be probed, because it is held still.
var ErrPaused = errors.New("it is paused")

// ErrEnding says that a machine does not pass because its guest says that it is
// powering off, or starting anew. It may lie, or hang there: the caller bounds
// for how long that is taken for an answer.
var ErrEnding = errors.New("it is powering off")

// Probe tries every probe once, and gives the first failure.
func (p *Prober) Probe(ctx context.Context) error {
	err := p.try(ctx)
	if err == nil {
		return nil
	}
	p.Close() // the connection may be what is broken
	if status, statusErr := p.driver.Status(context.WithoutCancel(ctx), p.machine); statusErr == nil && status.State == drivers.Paused {
		return ErrPaused
	}
	if lines, readErr := newConsole(p.machine.Dir).read(); readErr == nil && slices.Contains(lines, guest.Ending) {
		return ErrEnding
	}
	return err
}

func (p *Prober) try(ctx context.Context) error {
	for _, one := range p.probes {
		if one.ssh && p.conn == nil {
			conn, err := p.access.Dial(ctx, p.machine)
			if err != nil {
				return fmt.Errorf("%s: SSH does not answer: %w", one.name, err)
			}
			p.conn = conn
		}
		if err := one.again(ctx, p.conn); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return nil
}

// again tries a probe that has perhaps passed before. That a connection was
// made once says nothing of now, so SSH is asked to do something.
func (p *probe) again(ctx context.Context, conn Guest) error {
	if p.name != sshProbe {
		return p.try(ctx, conn)
	}
	_, _, err := conn.Run(ctx, []string{"true"})
	return err
}

// Close hangs up.
func (p *Prober) Close() {
	if p.conn != nil {
		_ = p.conn.Close() // it has served
		p.conn = nil
	}
}

// checkHealth refuses health probes that the image cannot answer.
func checkHealth(h spec.Health, enterable bool) error {
	if !enterable && len(h.Exec) > 0 {
		return errors.New("health.exec needs an image that runs lkup's init; use health.http or health.tcp")
	}
	return nil
}
