package reconciler

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// unit is one op under way.
type unit struct {
	*execution
	step    planner.Step
	op      string
	began   time.Time
	begun   func() // says that the machine runs, to who waits for that alone
	stopped drivers.StopReport
}

func (u *unit) took() time.Duration { return u.Now().Sub(u.began) }

func (u *unit) run(ctx context.Context, phase planner.Phase) error {
	if from := u.step.MovedFrom; from != "" {
		if err := u.Store.Move(from, u.step.Address); err != nil {
			return err
		}
	}
	if from := u.step.ImportedFrom; from != "" {
		if err := u.Store.Adopt(from, u.step.Address); err != nil {
			return err
		}
	}
	switch phase {
	case planner.Down:
		return u.down(ctx)
	case planner.Up:
		return u.up(ctx)
	case planner.Record:
		return u.record(ctx)
	}
	return fmt.Errorf("a plan holds no phase %q", phase)
}

// record writes what is wanted over what was applied, or forgets it; a guest that
// runs is not touched.
func (u *unit) record(ctx context.Context) error {
	if u.step.Action == planner.Forget {
		return u.Store.Release(u.step.Address)
	}
	i, found := u.Store.Instance(u.step.Address)
	if !found {
		return errors.New("it is no longer in the state; plan again")
	}
	u.adopt(&i)
	if err := u.Store.Put(i); err != nil {
		return err
	}
	return u.mend(ctx, i)
}

// mend makes the disks of volumes anew that a stopped machine has lost. A
// running one has to stop for it.
func (u *unit) mend(ctx context.Context, i state.Instance) error {
	gone, err := lost(i, Machine(i, u.Layout, u.Project))
	if err != nil || len(gone) == 0 {
		return err
	}
	driver, err := u.driver(i.Driver)
	if err != nil {
		return err
	}
	status, err := driver.Status(ctx, Machine(i, u.Layout, u.Project))
	if err != nil || status.State != drivers.Stopped {
		return err
	}
	return u.create(ctx, driver, &i, status.State)
}

// adopt makes the record say what is wanted.
func (u *unit) adopt(i *state.Instance) {
	i.Applied = *u.step.Want
	i.Driver = u.step.Driver
	i.Digest = u.step.Digest
	i.Sources, i.Recipe = u.sources, u.with.Recipes[u.step.Want.Image]
	i.AppliedAt = u.Now().UTC()
}

// down stops an instance, and deletes it if the plan says so.
func (u *unit) down(ctx context.Context) error {
	i, found := u.Store.Instance(u.step.Address)
	if !found {
		return nil
	}
	driver, err := u.driver(i.Driver)
	if err != nil {
		return err
	}
	if u.step.Live {
		return u.withdraw(ctx, driver, i)
	}
	m := Machine(i, u.Layout, u.Project)
	if u.halts() { // before it stops, so that nobody starts it again meanwhile
		i.Halted = true
		if err := u.Store.Put(i); err != nil {
			return err
		}
	}
	asked := i.Applied
	if u.step.Want != nil { // what is new counts for the stop that it may have been written for
		asked = *u.step.Want
	}
	if err := u.journalled("stop", i, func() error {
		u.stopped, err = driver.Stop(ctx, m, u.grace(asked))
		return err
	}); err != nil {
		return err
	}
	switch u.step.Action {
	case planner.Delete, planner.Replace:
		return u.remove(ctx, driver, i, m)
	case planner.Stop:
		if u.halts() {
			return nil
		}
		u.adopt(&i)
		return u.Store.Put(i)
	}
	return nil
}

// halts reports whether the machine is stopped by a person, and not because the
// stack files say so.
func (u *unit) halts() bool { return u.with.Halt && u.step.Action == planner.Stop }

// remove deletes what the driver made, then forgets the instance.
func (u *unit) remove(ctx context.Context, driver drivers.Driver, i state.Instance, m drivers.Machine) error {
	return u.journalled("delete", i, func() error {
		if err := driver.Delete(ctx, m); err != nil {
			return err
		}
		return u.Store.Forget(i.Address, u.step.Action == planner.Delete)
	})
}

// up creates an instance if need be, starts it and waits until it is ready.
func (u *unit) up(ctx context.Context) error {
	driver, err := u.driver(u.step.Driver)
	if err != nil {
		return err
	}
	i, err := u.begin()
	if err != nil {
		return err
	}
	status, err := driver.Status(ctx, Machine(i, u.Layout, u.Project))
	if err != nil {
		return err
	}
	if status.State == drivers.Running && i.Created {
		return u.change(ctx, driver, i, status)
	}
	if err := u.settle(ctx, &i); err != nil {
		return err
	}
	if err := u.create(ctx, driver, &i, status.State); err != nil {
		return err
	}
	if !i.Applied.Running {
		return nil
	}
	m := Machine(i, u.Layout, u.Project)
	if err := u.start(ctx, driver, i, &m, status.State); err != nil {
		return u.explain(driver, m, nil, err)
	}
	return u.prove(ctx, driver, i, m)
}

// begin gives the instance's record, or starts a new one with an ID of its own.
func (u *unit) begin() (state.Instance, error) {
	i, found := u.Store.Instance(u.step.Address)
	if found {
		return i, nil
	}
	id, err := u.random(4)
	if err != nil {
		return i, err
	}
	nonce, err := u.random(8)
	return state.Instance{
		Address:   u.step.Address,
		ID:        id,
		Nonce:     nonce,
		Arch:      u.Arch,
		MAC:       macAddress(id),
		CreatedAt: u.Now().UTC(),
	}, err
}

func (r *Reconciler) random(bytes int) (string, error) {
	b := make([]byte, bytes)
	if _, err := io.ReadFull(r.Rand, b); err != nil {
		return "", fmt.Errorf("make an ID: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// settle makes the last choices - files and the port for SSH - and records
// them, before anything is made or started.
func (u *unit) settle(ctx context.Context, i *state.Instance) error {
	u.adopt(i)
	img, found := u.with.Images[u.step.Want.Image]
	if !found {
		return fmt.Errorf("the plan has no image %s", u.step.Want.Image)
	}
	artifact, err := u.Images.Fetch(ctx, img, u.step.Digest, func(p sources.Progress) {
		u.emit(Event{Address: u.step.Address, Kind: Downloading, Report: &p})
	})
	if err != nil {
		return fmt.Errorf("get %s: %w", u.step.Want.Image, err)
	}
	u.reached(StageImage)
	i.Image, i.Boot, i.Guest = img, boot(artifact, i.Applied), artifact.Guest
	i.Proven, i.Exit, i.Halted = state.Process{}, nil, false
	if artifact.Arch != "" {
		i.Arch = artifact.Arch
	}
	if err := checkSettings(*i, artifact.Firmware); err != nil {
		return err
	}
	if _, forwarded := forwardedSSH(i.Applied); i.Enterable() && i.SSHPort == 0 && !forwarded {
		if i.SSHPort, err = u.sshPort(ctx); err != nil {
			return err
		}
	}
	if err := checkProbes(i.Applied.Ready, i.Enterable()); err != nil {
		return err
	}
	if err := checkMounts(i.Applied, i.Guest); err != nil {
		return err
	}
	if err := checkCopies(i.Applied, i.Enterable()); err != nil {
		return err
	}
	if err := checkHealth(i.Applied.Health, i.Enterable()); err != nil {
		return err
	}
	if err := u.volumes(i); err != nil {
		return err
	}
	return u.Store.Put(*i)
}

// boot joins what the image says with what the stack file adds.
func boot(a sources.Artifact, vm spec.VM) drivers.Boot {
	b := drivers.Boot{Kernel: a.Kernel, Initrds: a.Initrds, Cmdline: a.Cmdline}
	if vm.Cmdline != "" {
		b.Cmdline += " " + vm.Cmdline
	}
	if a.Disk != "" {
		b.Disks = []drivers.Disk{{Path: a.Disk, Format: a.DiskFormat}}
		b.Firmware = cmp.Or(vm.Firmware, a.Firmware)
	}
	return b
}

func (u *unit) sshPort(ctx context.Context) (int, error) {
	u.ports.Lock()
	defer u.ports.Unlock()
	known := u.Store.State()
	taken := reservedPorts(&spec.Stack{}, known)
	for _, step := range u.plan.Steps {
		if step.Want == nil {
			continue
		}
		for _, p := range step.Want.Ports {
			taken[p.Host] = true
		}
	}
	for port := range u.given {
		taken[port] = true
	}
	port, err := u.freePort(ctx, "127.0.0.1", "tcp", taken)
	u.given[port] = true
	return port, err
}

// create makes what the driver needs before the first start. Something left by
// an earlier try is removed first.
func (u *unit) create(ctx context.Context, driver drivers.Driver, i *state.Instance, now drivers.State) error {
	m := Machine(*i, u.Layout, u.Project)
	for _, dir := range []string{m.Dir, m.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the instance's directory: %w", err)
		}
	}
	return u.journalled("create", *i, func() error {
		if now == drivers.Absent || now == drivers.Stopped {
			if err := u.format(ctx, *i, m); err != nil {
				return err
			}
		}
		if err := driver.Create(ctx, m); err != nil {
			return err
		}
		if i.Created {
			return nil
		}
		i.Created = true
		return u.Store.Put(*i)
	})
}

// start hands the machine to its driver, with its keys and settings.
func (u *unit) start(ctx context.Context, driver drivers.Driver, i state.Instance, m *drivers.Machine, now drivers.State) error {
	if i.Enterable() || m.Disc != "" {
		seed, err := u.Access.Prepare(ctx, *m, i.Applied)
		if err != nil {
			return err
		}
		if i.Guest {
			m.Boot.Seed = seed
		}
		defer func() {
			for _, path := range seed {
				_ = os.Remove(path) // the guest has its secrets; what stays is gone with the next boot of the host
			}
		}()
	}
	if now != drivers.Paused { // else what its guest has said still counts
		if err := noteStart(m.Dir, u.Now()); err != nil {
			return err
		}
	}
	if err := u.journalled("start", i, func() error { return driver.Start(ctx, *m) }); err != nil {
		return err
	}
	u.begun()
	return nil
}

// prove waits until the running machine is ready, and records which process
// was seen so.
func (u *unit) prove(ctx context.Context, driver drivers.Driver, i state.Instance, m drivers.Machine) error {
	u.begun()
	w := newWait(u, driver, i, m)
	if i.Applied.Kind == spec.KindTask {
		return u.finish(ctx, w)
	}
	if err := w.ready(ctx); err != nil {
		return u.explain(driver, m, w, err)
	}
	status, err := driver.Status(ctx, m)
	if err != nil {
		return err
	}
	u.adopt(&i)
	i.Proven, i.Halted = process(status), false
	if err := u.Store.Put(i); err != nil {
		return err
	}
	u.tell(i, "ready", u.began, nil)
	return nil
}

func (u *unit) driver(name string) (drivers.Driver, error) {
	driver, found := u.Drivers[name]
	if !found {
		return nil, fmt.Errorf("this lkup has no driver %q", name)
	}
	return driver, nil
}

// journalled does an effect between its two lines in the journal.
func (u *unit) journalled(effect string, i state.Instance, do func() error) error {
	end, err := u.Store.Begin(state.Entry{Time: u.Now().UTC(), Address: i.Address, ID: i.ID, Effect: effect})
	if err != nil {
		return err
	}
	begun := u.Now()
	err = errors.Join(do(), end())
	u.tell(i, effect, begun, err)
	return err
}

// reached tells of a stage. What was changed while it runs went through most of
// them long ago.
func (u *unit) reached(s Stage) {
	if u.step.Live && s != StageChanged && s != StageReady {
		return
	}
	u.emit(Event{Address: u.step.Address, Kind: StageReached, Stage: s, Op: u.op, Took: u.took()})
}
