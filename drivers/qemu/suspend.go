package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

// Pause stops the guest's processors. QEMU has by then written to the disks
// what the guest wrote.
func (d *Driver) Pause(ctx context.Context, m drivers.Machine) error {
	q, err := d.running(ctx, m)
	if err != nil {
		return err
	}
	defer q.close()
	_, err = q.do("stop", nil)
	return err
}

// Resume lets them go on.
func (d *Driver) Resume(ctx context.Context, m drivers.Machine) error {
	q, err := d.running(ctx, m)
	if err != nil {
		return err
	}
	defer q.close()
	return q.resume(ctx)
}

// resume ends a saving that somebody began and was killed over: at its end it
// would stop the guest again.
func (q *monitor) resume(ctx context.Context) error {
	tick := time.NewTicker(settleStep)
	defer tick.Stop()
	for {
		now, err := q.migration()
		if err != nil {
			return err
		}
		if !now.underWay() {
			_, err = q.do("cont", nil)
			return err
		}
		if _, err := q.do("migrate_cancel", nil); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// migration is what QEMU says of the saving of memory, which it sees as the
// migration of the machine to a file.
type migration struct {
	Status  string   `json:"status"` // active, completed, failed, cancelled and others
	Error   string   `json:"error-desc"`
	Blocked []string `json:"blocked-reasons"`
}

func (m migration) underWay() bool {
	return m.Status == "setup" || m.Status == "active" || m.Status == "device" || m.Status == "cancelling"
}

func (q *monitor) migration() (migration, error) {
	var now migration
	reply, err := q.do("query-migrate", nil)
	if err == nil {
		err = json.Unmarshal(reply, &now)
	}
	return now, err
}

// Savable asks QEMU what stands in the way: shares that the guest has mounted.
func (d *Driver) Savable(ctx context.Context, m drivers.Machine) (string, error) {
	q, err := d.running(ctx, m)
	if err != nil {
		return "", err
	}
	defer q.close()
	now, err := q.migration()
	if err == nil && len(served(m)) > 0 {
		return "its guest has a share with protected paths", nil // whoever serves it would know nothing of what is open
	}
	if err == nil && overVirtiofs(m) > 0 {
		return "its guest has a share over virtiofs", nil
	}
	if err != nil || len(now.Blocked) == 0 {
		return "", err
	}
	if strings.Contains(now.Blocked[0], "VirtFS") {
		return "its guest has mounted a share", nil
	}
	return now.Blocked[0], nil
}

// unlimited is the speed, in bytes a second, at which memory is written.
const unlimited = 1 << 40

// Save writes the memory by a descriptor, because a hardened QEMU opens no file
// and starts no program for that.
func (d *Driver) Save(ctx context.Context, m drivers.Machine, path string) (err error) {
	q, err := d.running(ctx, m)
	if err != nil {
		return err
	}
	defer q.close()
	if guest, err := q.runState(); err != nil || guest.Running {
		return errors.Join(err, fmt.Errorf("%s is not paused", m.Address))
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return local.Full(err, path)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err == nil {
			return
		}
		_ = os.Remove(path) // it holds a part, at most
		if ctx.Err() != nil {
			q.close()
			_, _ = ask(context.WithoutCancel(ctx), monitorPath(m), "migrate_cancel") // else Resume does it
		}
	}()
	if err := q.save(ctx, file); err != nil {
		return local.Full(fmt.Errorf("save the memory of %s: %w", m.Address, err), path)
	}
	return local.Full(file.Sync(), path)
}

// save has QEMU write to the file, and waits until all of it is written.
func (q *monitor) save(ctx context.Context, file *os.File) error {
	if _, err := q.do("migrate-set-parameters", map[string]int{"max-bandwidth": unlimited}); err != nil {
		return err
	}
	if _, err := q.send("getfd", map[string]string{"fdname": "memory"}, file); err != nil {
		return err
	}
	if _, err := q.do("migrate", map[string]string{"uri": "fd:memory"}); err != nil {
		return err
	}
	tick := time.NewTicker(settleStep)
	defer tick.Stop()
	for {
		now, err := q.migration()
		switch {
		case err != nil:
			return err
		case now.Status == "completed":
			return nil
		case now.Status == "failed", now.Status == "cancelled":
			return fmt.Errorf("QEMU gave up: %s", now.Error)
		}
		select {
		case <-tick.C:
		case <-ctx.Done(): // the connection is of no more use
			return ctx.Err()
		}
	}
}

// Files are the machine's own layers, and the mark that it was created.
func (d *Driver) Files(m drivers.Machine) []string {
	var names []string
	for n, disk := range m.Boot.Disks {
		if disk.Format != drivers.CD {
			names = append(names, filepath.Base(overlayPath(m, n)))
		}
	}
	return append(names, filepath.Base(createdPath(m)))
}

// restoreLimit bounds the reading of a machine's memory. It takes a second for
// a gigabyte or so.
const restoreLimit = 5 * time.Minute

// Restore starts QEMU with the file in the place of a boot.
func (d *Driver) Restore(ctx context.Context, m drivers.Machine, path string) error {
	status, err := d.Status(ctx, m)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if status.State != drivers.Stopped {
		return fmt.Errorf("%s is %s, and only a stopped machine gets its memory back", m.Address, status.State)
	}
	memory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer memory.Close()
	program, err := d.program(binaryFor(m.Arch))
	if err != nil {
		return err
	}
	m.Boot.Seed = nil // the guest has read it
	if err := errors.Join(check(m), joinInitrds(m)); err != nil {
		return err
	}
	h := d.host(m)
	if h.sandbox && !filters(ctx, program) {
		d.unfiltered.Store(true)
		h = d.host(m)
	}
	if err := d.plug(ctx, m, func() error { return d.spawn(ctx, program, m, h, memory) }); err != nil {
		return err
	}
	if err := d.arrived(ctx, m); err != nil {
		_, stopping := d.Stop(context.WithoutCancel(ctx), m, 0)
		return errors.Join(err, stopping)
	}
	return nil
}

// arrived waits until QEMU has read a machine's memory.
func (d *Driver) arrived(ctx context.Context, m drivers.Machine) error {
	ctx, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	tick := time.NewTicker(settleStep)
	defer tick.Stop()
	for {
		guest, err := askRunState(ctx, m)
		switch {
		case err == nil && guest.Status != "inmigrate":
			return nil
		case err != nil && !slow(err):
			said, _ := os.ReadFile(sayingsPath(m)) // else it said nothing
			return fmt.Errorf("QEMU did not take the saved memory of %s, which another version of it, or other settings, may have written: %s", m.Address, strings.TrimSpace(string(said)))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
