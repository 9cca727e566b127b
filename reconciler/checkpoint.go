package reconciler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// Saving says what a checkpoint is to hold.
type Saving struct {
	Name    string
	Of      spec.Address // one machine with its volumes; empty: the whole stack
	Version string       // of lkup
	// DisksOnly leaves out what machines have in memory.
	DisksOnly bool
	// Secrets allows that secrets lie in what is saved: the memory of a guest
	// that was given some holds them.
	Secrets bool
}

// saved is one machine on its way into a checkpoint.
type saved struct {
	instance state.Instance
	machine  drivers.Machine
	driver   drivers.Driver
	status   drivers.Status
	record   state.SavedMachine
}

// Prepare says what a checkpoint would hold, before anything is done.
func (r *Reconciler) Prepare(ctx context.Context, s Saving) (state.Checkpoint, error) {
	_, c, err := r.survey(ctx, s)
	return c, err
}

// survey looks at all that a checkpoint is to hold.
func (r *Reconciler) survey(ctx context.Context, s Saving) ([]*saved, state.Checkpoint, error) {
	known := r.Store.State()
	c := state.Checkpoint{
		Name: s.Name, Of: s.Of, CreatedAt: r.Now().UTC(), Version: s.Version,
		Machines: map[spec.Address]state.SavedMachine{}, Volumes: map[spec.Address]state.SavedVolume{},
	}
	var all []*saved
	for _, address := range sorted(known.Instances) {
		i := known.Instances[address]
		if s.Of != "" && s.Of != address || !i.Created {
			continue
		}
		m, err := r.look(ctx, i, s)
		if err != nil {
			return nil, c, fmt.Errorf("save %s: %w", address, err)
		}
		all = append(all, m)
		c.Machines[address] = m.record
		for _, mount := range i.Applied.Mounts {
			c.Volumes[mount.Volume] = state.SavedVolume{Volume: i.Volumes[mount.Volume], Size: mount.Size}
		}
	}
	if s.Of == "" {
		for address, v := range known.Volumes {
			if _, mounted := c.Volumes[address]; !mounted {
				c.Volumes[address] = state.SavedVolume{Volume: v}
			}
		}
	}
	return all, c, nil
}

// look decides what can be saved of one machine.
func (r *Reconciler) look(ctx context.Context, i state.Instance, s Saving) (*saved, error) {
	driver, found := r.Drivers[i.Driver]
	if !found {
		return nil, fmt.Errorf("this lkup has no driver %q", i.Driver)
	}
	m := &saved{instance: i, machine: Machine(i, r.Layout, r.Project), driver: driver, record: state.SavedMachine{Instance: i}}
	if _, able := driver.(drivers.Snapshotter); !able {
		return nil, fmt.Errorf("driver %s cannot make copies of its machines", i.Driver)
	}
	var err error
	if m.status, err = driver.Status(ctx, m.machine); err != nil {
		return nil, err
	}
	switch m.status.State {
	case drivers.Unknown:
		return nil, errors.New(m.status.Detail)
	case drivers.Absent, drivers.Stopped:
		return m, nil
	case drivers.Running, drivers.Paused:
	}
	if _, able := driver.(drivers.Pauser); !able {
		return nil, fmt.Errorf("driver %s cannot hold a running machine still; stop it first", i.Driver)
	}
	m.record.Running, m.record.RAM = true, m.status.MemoryMax
	m.record.Why, err = unsaved(ctx, m, s)
	m.record.Memory = m.record.Why == "" && err == nil
	return m, err
}

// unsaved says why a machine's memory is left out.
func unsaved(ctx context.Context, m *saved, s Saving) (string, error) {
	suspender, able := m.driver.(drivers.Suspender)
	switch {
	case s.DisksOnly:
		return "only disks were asked for", nil
	case !able:
		return fmt.Sprintf("driver %s cannot save memory", m.instance.Driver), nil
	case len(m.instance.Applied.Secrets) > 0 && !s.Secrets:
		return "its memory holds secrets; to save those too, add --with-secrets", nil
	}
	return suspender.Savable(ctx, m.machine)
}

// copyLimit is how long machines may be let go again after Ctrl-C.
const resumeLimit = 30 * time.Second

// Save makes a checkpoint: all machines are paused, all is copied, and all go
// on. Whoever is killed meanwhile leaves paused machines, which the next apply
// lets go on, and nothing that looks like a checkpoint.
func (r *Reconciler) Save(ctx context.Context, s Saving) (c state.Checkpoint, err error) {
	all, c, err := r.survey(ctx, s)
	if err != nil {
		return c, err
	}
	dir, err := r.Store.BeginCheckpoint(s.Of, s.Name)
	if err != nil {
		return c, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir) // the next try would do so, too
		}
	}()
	if err := r.flush(ctx, all); err != nil {
		return c, err
	}
	if err := r.holdStill(ctx, all, func() error { return r.copyAll(ctx, all, &c, dir) }); err != nil {
		return c, err
	}
	return c, r.Store.EndCheckpoint(c)
}

// flush has guests write their caches to disk whose memory is left out.
func (r *Reconciler) flush(ctx context.Context, all []*saved) error {
	for _, m := range all {
		if m.status.State != drivers.Running || m.record.Memory || !m.instance.Enterable() || r.Access == nil {
			continue
		}
		conn, err := r.reach(ctx, m)
		if err == nil {
			_, _, err = conn.Run(ctx, []string{"sync"})
			err = errors.Join(err, conn.Close())
		}
		if err != nil {
			r.emit(Event{Address: m.instance.Address, Kind: Warning, Detail: "its guest could not be told to write its caches to disk: " + err.Error()})
		}
	}
	return ctx.Err()
}

// holdStill pauses the machines that run, does something, and lets them go on,
// whatever happened.
func (r *Reconciler) holdStill(ctx context.Context, all []*saved, do func() error) (err error) {
	var mine []*saved
	for _, m := range all {
		if m.status.State == drivers.Running {
			mine = append(mine, m)
		}
	}
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), resumeLimit)
		defer cancel()
		err = errors.Join(err, each(mine, func(m *saved) error {
			return r.journalled("resume", m.instance, func() error { return m.driver.(drivers.Pauser).Resume(late, m.machine) })
		}))
	}()
	if err := each(mine, func(m *saved) error {
		return r.journalled("pause", m.instance, func() error { return m.driver.(drivers.Pauser).Pause(ctx, m.machine) })
	}); err != nil {
		return err
	}
	return do()
}

// each does something to all machines at once.
func each(all []*saved, do func(*saved) error) error {
	var group errgroup.Group
	for _, m := range all {
		group.Go(func() error {
			if err := do(m); err != nil {
				return fmt.Errorf("%s: %w", m.instance.Address, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// copyAll copies memory and disks into a checkpoint's folder.
func (r *Reconciler) copyAll(ctx context.Context, all []*saved, c *state.Checkpoint, dir string) error {
	for _, m := range all {
		if err := r.copyMachine(ctx, m, filepath.Join(dir, m.instance.ID)); err != nil {
			return fmt.Errorf("save %s: %w", m.instance.Address, err)
		}
		c.Machines[m.instance.Address] = m.record
	}
	for _, address := range sorted(c.Volumes) {
		v := c.Volumes[address].Volume
		if err := os.Mkdir(filepath.Join(dir, v.ID), 0o700); err != nil {
			return err
		}
		err := r.clone(ctx, filepath.Join(r.Layout.Volume(v.ID), v.File()), filepath.Join(dir, v.ID, v.File()))
		if errors.Is(err, fs.ErrNotExist) {
			delete(c.Volumes, address) // it was never made
			continue
		}
		if err != nil {
			return fmt.Errorf("save %s: %w", address, err)
		}
	}
	return nil
}

func (r *Reconciler) copyMachine(ctx context.Context, m *saved, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if m.record.Memory {
		if err := m.driver.(drivers.Suspender).Save(ctx, m.machine, filepath.Join(dir, state.MemoryFile)); err != nil {
			return err
		}
	}
	names := m.driver.(drivers.Snapshotter).Files(m.machine)
	if m.instance.Enterable() && r.Access != nil {
		names = append(names, r.Access.Files()...)
	}
	for _, name := range names {
		err := r.clone(ctx, filepath.Join(m.machine.Dir, name), filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		m.record.Files = append(m.record.Files, name)
	}
	return nil
}

// clone copies a file unless ctx has ended.
func (r *Reconciler) clone(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Disks == nil {
		return errors.New("this program cannot copy disks")
	}
	return r.Disks.Clone(ctx, from, to)
}

// journalled does an effect on an instance between its two lines in the journal.
func (r *Reconciler) journalled(effect string, i state.Instance, do func() error) error {
	end, err := r.Store.Begin(state.Entry{Time: r.Now().UTC(), Address: i.Address, ID: i.ID, Effect: effect})
	if err != nil {
		return err
	}
	return errors.Join(do(), end())
}

func sorted[V any](m map[spec.Address]V) []spec.Address {
	keys := make([]spec.Address, 0, len(m))
	for a := range m {
		keys = append(keys, a)
	}
	slices.Sort(keys)
	return keys
}
