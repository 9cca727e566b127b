package reconciler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// Affected lists the machines that a restoring stops: those of the checkpoint,
// those that stand in their places, and those that have one of its volumes.
func Affected(known state.State, c state.Checkpoint) []spec.Address {
	var all []spec.Address
	for _, address := range sorted(known.Instances) {
		_, saved := c.Machines[address]
		for volume := range known.Instances[address].Volumes {
			_, has := c.Volumes[volume]
			saved = saved || has
		}
		if saved {
			all = append(all, address)
		}
	}
	return all
}

// Restore makes machines and volumes what they were. What goes on from its
// memory does so; cold are the machines that run again only once they are
// started, in their own way.
//
// Copies are made first, while all runs on. Then the machines end, and the
// copies are put in their places as a whole: whoever is killed leaves the stack
// as it was before or as it shall be, and nothing in between.
func (r *Reconciler) Restore(ctx context.Context, c state.Checkpoint) (cold []spec.Address, err error) {
	from := state.CheckpointDir(r.Layout, c.Of, c.Name)
	restoring, err := r.copyBack(ctx, c, from)
	if err != nil {
		return nil, err
	}
	known := r.Store.State()
	stopped, err := r.makeRoom(ctx, known, c)
	if err != nil {
		return stopped, err
	}
	if err := r.Store.Restore(restoring); err != nil {
		return stopped, err
	}
	var warm []*saved
	for _, address := range sorted(c.Machines) {
		m := c.Machines[address]
		woken := r.wakeable(restoring.Instances[address], m)
		switch {
		case m.Memory && r.unfreeze(ctx, woken, from):
			warm = append(warm, woken)
		case m.Running && !slices.Contains(stopped, address):
			stopped = append(stopped, address)
		}
	}
	err = r.goOn(ctx, warm)
	for _, m := range warm {
		stopped = slices.DeleteFunc(stopped, func(a spec.Address) bool { return a == m.instance.Address })
	}
	slices.Sort(stopped)
	return stopped, err
}

// copyBack makes copies of a checkpoint's files, and says what is to become of
// them.
func (r *Reconciler) copyBack(ctx context.Context, c state.Checkpoint, from string) (state.Restoring, error) {
	restoring := state.Restoring{Name: c.Name, Instances: map[spec.Address]state.Instance{}, Volumes: map[spec.Address]state.Volume{}}
	copies := r.Layout.Copies()
	if err := errors.Join(os.RemoveAll(copies), os.MkdirAll(copies, 0o700)); err != nil {
		return restoring, err
	}
	add := func(id, name, dir string) error {
		part := filepath.Join(copies, id+"-"+name)
		if err := r.clone(ctx, filepath.Join(from, id, name), part); err != nil {
			return fmt.Errorf("copy what was saved: %w", err)
		}
		restoring.Renames = append(restoring.Renames, state.Rename{From: part, To: filepath.Join(dir, name)})
		return nil
	}
	for _, address := range sorted(c.Machines) {
		m := c.Machines[address]
		for _, name := range m.Files {
			if err := add(m.Instance.ID, name, r.Layout.Instance(m.Instance.ID)); err != nil {
				return restoring, err
			}
		}
		m.Instance.Proven = state.Process{}
		m.Instance.Halted = m.Instance.Halted && !m.Running
		restoring.Instances[address] = m.Instance
	}
	for _, address := range sorted(c.Volumes) {
		v := c.Volumes[address].Volume
		if err := add(v.ID, v.File(), r.Layout.Volume(v.ID)); err != nil {
			return restoring, err
		}
		restoring.Volumes[address] = v
	}
	return restoring, nil
}

// makeRoom ends the machines that a restoring affects, and removes those that
// are not the ones of the checkpoint. It gives those that ran and are no part
// of it: they must be started again.
func (r *Reconciler) makeRoom(ctx context.Context, known state.State, c state.Checkpoint) (others []spec.Address, err error) {
	for _, address := range Affected(known, c) {
		i := known.Instances[address]
		driver, found := r.Drivers[i.Driver]
		if !found {
			return others, fmt.Errorf("this lkup has no driver %q", i.Driver)
		}
		m := Machine(i, r.Layout, r.Project)
		wanted, saved := c.Machines[address]
		grace := r.grace(i.Applied)
		if saved {
			grace = 0 // what it would still write is thrown away
		}
		err := r.journalled("stop", i, func() error {
			report, err := driver.Stop(ctx, m, grace)
			if err == nil && report.By != drivers.StopNone && !saved {
				others = append(others, address)
			}
			return err
		})
		if err == nil && saved && wanted.Instance.ID != i.ID {
			err = r.journalled("delete", i, func() error {
				return errors.Join(driver.Delete(ctx, m), r.Store.Forget(address, false))
			})
		}
		if err != nil {
			return others, fmt.Errorf("stop %s: %w", address, err)
		}
	}
	return others, nil
}

func (r *Reconciler) wakeable(i state.Instance, m state.SavedMachine) *saved {
	woken := &saved{instance: i, machine: Machine(i, r.Layout, r.Project), driver: r.Drivers[i.Driver], record: m}
	if m.RAM > 0 {
		woken.machine.Memory = m.RAM
	}
	return woken
}

// unfreeze starts a machine from its memory. One that cannot be is started
// cold, for its disks are what they were.
func (r *Reconciler) unfreeze(ctx context.Context, m *saved, from string) bool {
	suspender, able := m.driver.(drivers.Suspender)
	if !able {
		return false
	}
	err := os.MkdirAll(m.machine.RunDir, 0o700)
	if err == nil {
		err = r.journalled("restore", m.instance, func() error {
			return suspender.Restore(ctx, m.machine, filepath.Join(from, m.instance.ID, state.MemoryFile))
		})
	}
	if err != nil {
		r.emit(Event{Address: m.instance.Address, Kind: Warning, Detail: "it starts anew from its disks, because its memory cannot be restored: " + err.Error()})
	}
	return err == nil
}

// goOn lets machines go on together, and tells their guests what they cannot
// know.
func (r *Reconciler) goOn(ctx context.Context, all []*saved) error {
	if err := each(all, func(m *saved) error { return m.driver.(drivers.Pauser).Resume(ctx, m.machine) }); err != nil {
		return err
	}
	return each(all, func(m *saved) error {
		if err := r.wake(ctx, m); err != nil {
			r.emit(Event{Address: m.instance.Address, Kind: Warning, Detail: "its clock may be behind, and its random numbers those of before: " + err.Error()})
		}
		status, err := m.driver.Status(ctx, m.machine)
		if err != nil || status.State != drivers.Running {
			return errors.Join(err, fmt.Errorf("it is %s after its memory was restored", status.State))
		}
		m.instance.Proven = process(status)
		return r.Store.Put(m.instance)
	})
}

// wakeLimit bounds how long a restored guest may take to answer.
const wakeLimit = time.Minute

// entropyBytes is as much as the kernel's generator takes for a seed.
const entropyBytes = 64

func (r *Reconciler) wake(ctx context.Context, m *saved) error {
	if !m.instance.Enterable() || r.Access == nil {
		return errors.New("nobody can log in and tell it: its image takes no key of lkup's, and has no ssh block")
	}
	ctx, cancel := context.WithTimeout(ctx, wakeLimit)
	defer cancel()
	entropy := make([]byte, entropyBytes)
	if _, err := io.ReadFull(r.Rand, entropy); err != nil {
		return err
	}
	conn, err := r.reach(ctx, m)
	if err != nil {
		return err
	}
	defer conn.Close()
	waker, able := conn.(Waker)
	if !able {
		return errors.New("it cannot be told")
	}
	if !m.instance.Guest {
		return waker.WakeByShell(ctx, guest.Wake{Time: r.Now().UnixNano(), Entropy: entropy})
	}
	return waker.Wake(ctx, guest.Wake{Time: r.Now().UnixNano(), Entropy: entropy, Hostname: m.machine.Name})
}

// reach dials a guest until it answers.
func (r *Reconciler) reach(ctx context.Context, m *saved) (Guest, error) {
	ctx, cancel := context.WithTimeout(ctx, wakeLimit)
	defer cancel()
	tick := time.NewTicker(sshBackoff)
	defer tick.Stop()
	for {
		limited, stop := context.WithTimeout(ctx, 2*patience(m.instance))
		conn, err := r.Access.Dial(limited, m.machine)
		stop()
		if err == nil {
			return conn, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}
