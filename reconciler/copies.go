package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// copiedShares are the shares that guests have copies of.
func copiedShares(vm spec.VM) []spec.Share {
	return slices.DeleteFunc(slices.Clone(vm.Shares), func(s spec.Share) bool { return s.Way() != spec.ShareSync })
}

// copyShares brings a guest what has changed in the shares that it has copies
// of, and tells of it.
func (r *Reconciler) copyShares(ctx context.Context, i state.Instance, conn Guest) error {
	for _, s := range copiedShares(i.Applied) {
		mirrorer, able := conn.(Mirrorer)
		if !able {
			return fmt.Errorf("copy the share %s: nobody copies files into this guest", s.Guest)
		}
		begun := r.Now()
		done, err := mirrorer.Mirror(ctx, s.HostIn(r.Project), s.Guest)
		if err != nil {
			return fmt.Errorf("copy the share %s: %w", s.Guest, err)
		}
		for _, what := range done.LeftOut {
			r.emit(Event{Address: i.Address, Kind: Warning, Detail: fmt.Sprintf("share %s: %s, and was left out", s.Guest, what)})
		}
		if done.Changed() {
			r.emit(Event{Address: i.Address, Kind: Synced, Detail: s.Guest + ": " + done.String(), Took: r.Now().Sub(begun)})
		}
	}
	return nil
}

// copy fills the machine's copied shares once the guest has its volumes in their
// places: they would hide what was there before.
func (w *wait) copy(ctx context.Context) error {
	if w.conn == nil {
		return nil
	}
	for _, p := range w.probes {
		if p.name == mountsProbeName && p.try(ctx, w.conn) != nil {
			return nil
		}
	}
	err := w.copyShares(ctx, w.instance, w.conn)
	w.copied = err == nil
	return err
}

// CopyShares brings those machines that are meant, and run, what has changed in
// the shares that they have copies of. Nobody is started for it.
func (r *Reconciler) CopyShares(ctx context.Context, meant func(spec.Address) bool) error {
	var failures []error
	known := r.Store.State()
	for _, a := range sorted(known.Instances) {
		i := known.Instances[a]
		if len(copiedShares(i.Applied)) == 0 || !i.Created || !i.Applied.Running || i.Halted || !meant(a) {
			continue
		}
		if err := r.copyInto(ctx, i); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", a, err))
		}
	}
	return errors.Join(failures...)
}

func (r *Reconciler) copyInto(ctx context.Context, i state.Instance) error {
	m := Machine(i, r.Layout, r.Project)
	driver, found := r.Drivers[i.Driver]
	if !found {
		return fmt.Errorf("this lkup has no driver %q", i.Driver)
	}
	if status, err := driver.Status(ctx, m); err != nil || status.State != drivers.Running {
		return err
	}
	conn, err := r.Access.Dial(ctx, m)
	if err != nil {
		return err
	}
	defer conn.Close()
	return r.copyShares(ctx, i, conn)
}
