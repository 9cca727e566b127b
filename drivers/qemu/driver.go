// Package qemu runs machines with QEMU: a process each, owned by lkup, that
// outlives it. It promises that a machine has at most one process, because
// that process holds a lock that a second one cannot get, and that it signals
// no process but one proven to be the machine's.
package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/process"
)

// Settings change how QEMU is found. The zero value is right for users.
type Settings struct {
	// LookPath finds programs; nil is exec.LookPath.
	LookPath func(name string) (string, error)
	// Accel forces an accelerator; empty is the best that works.
	Accel string
}

// Driver implements drivers.Driver and the abilities Consoler, CommandLiner,
// Checker and Doctor.
type Driver struct{ settings Settings }

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.Consoler     = (*Driver)(nil)
	_ drivers.CommandLiner = (*Driver)(nil)
	_ drivers.Checker      = (*Driver)(nil)
	_ drivers.Doctor       = (*Driver)(nil)
)

// New makes a driver. It looks at nothing yet.
func New(s Settings) *Driver {
	if s.LookPath == nil {
		s.LookPath = exec.LookPath
	}
	return &Driver{settings: s}
}

func (d *Driver) accel(guest string) string {
	if d.settings.Accel != "" {
		return d.settings.Accel
	}
	name, _ := accelerator(look(guest))
	return name
}

func (d *Driver) host(guest string) host {
	return host{os: runtime.GOOS, arch: runtime.GOARCH, accel: d.accel(guest), sandbox: runtime.GOOS == "linux"}
}

// createdFile marks a machine whose creation was finished.
const createdFile = "created"

// Create makes the machine's own layer over each disk image.
func (d *Driver) Create(ctx context.Context, m drivers.Machine) error {
	for n, disk := range m.Boot.Disks {
		if err := d.overlay(ctx, disk, overlayPath(m, n)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(m.Dir, createdFile), nil, 0o600)
}

func (d *Driver) overlay(ctx context.Context, disk drivers.Disk, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	program, err := d.program("qemu-img")
	if err != nil {
		return err
	}
	if _, err := os.Stat(disk.Path); err != nil {
		return fmt.Errorf("the disk image is missing: %w", err)
	}
	partial := path + ".part"
	words := []string{"create", "-q", "-f", "qcow2", "-F", disk.Format, "-b", disk.Path, partial}
	if output, err := exec.CommandContext(ctx, program, words...).CombinedOutput(); err != nil {
		return fmt.Errorf("make a layer over the disk image: %w\n%s\n  %s", err, strings.TrimSpace(string(output)), quote(append([]string{program}, words...)))
	}
	return os.Rename(partial, path)
}

// Delete removes what Create made. The directory itself is the caller's.
func (d *Driver) Delete(ctx context.Context, m drivers.Machine) error {
	status, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	switch status.State {
	case drivers.Running, drivers.Paused:
		return fmt.Errorf("%s still runs (process %d); stop it first", m.Address, status.PID)
	case drivers.Unknown:
		return errors.New(status.Detail)
	case drivers.Absent, drivers.Stopped:
	}
	// The mark goes last: a removal that was cut is taken up again.
	names := []string{initrdFile, runFile, errorLog, lockFile, createdFile}
	for n := range m.Boot.Disks {
		names = append([]string{filepath.Base(overlayPath(m, n))}, names...)
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(m.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, path := range []string{monitorPath(m), consolePath(m)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Status asks the lock, the process and QEMU itself.
func (d *Driver) Status(ctx context.Context, m drivers.Machine) (drivers.Status, error) {
	if _, err := os.Stat(filepath.Join(m.Dir, createdFile)); errors.Is(err, fs.ErrNotExist) {
		return drivers.Status{State: drivers.Absent}, nil
	} else if err != nil {
		return drivers.Status{}, err
	}
	held, err := lockHeld(filepath.Join(m.Dir, lockFile))
	if err != nil {
		return drivers.Status{}, err
	}
	if !held {
		return drivers.Status{State: drivers.Stopped}, nil
	}
	r, found := d.findRun(ctx, m)
	if !found {
		return drivers.Status{State: drivers.Unknown, Detail: fmt.Sprintf(
			"a process holds %s, and none can be proven to be the machine's; find it with: fuser -v %[1]s", filepath.Join(m.Dir, lockFile))}, nil
	}
	status := drivers.Status{State: drivers.Running, PID: r.PID, Started: r.Started, Ports: r.Ports, Memory: r.Memory}
	if reply, err := ask(ctx, monitorPath(m), "query-status"); err == nil {
		var s struct {
			Status string `json:"status"`
		}
		if json.Unmarshal(reply, &s) == nil && s.Status == "paused" {
			status.State = drivers.Paused
		}
	}
	return status, nil
}

// run is what is recorded of a running process, in runFile.
type run struct {
	process.Identity
	Started time.Time      `json:"started"`
	Ports   []drivers.Port `json:"ports,omitempty"`
	Memory  int            `json:"memory"`
}

// settleLimit is how long a process that another lkup is just starting, or
// that one left behind by dying, may take to be found.
const settleLimit = time.Second

// findRun finds the process that holds the machine's lock: by its record, or,
// if the lkup that started it died before writing one, by its nonce.
func (d *Driver) findRun(ctx context.Context, m drivers.Machine) (run, bool) {
	limit := time.Now().Add(settleLimit)
	for {
		content, err := os.ReadFile(filepath.Join(m.Dir, runFile))
		var r run
		if err == nil && json.Unmarshal(content, &r) == nil && r.Nonce == m.Nonce && r.Verify() == process.Yes {
			return r, true
		}
		if found, err := process.Find(m.Nonce); err == nil && len(found) == 1 {
			r := run{Identity: found[0], Started: time.Now().UTC(), Ports: m.Ports, Memory: m.Memory}
			return r, writeRun(m, r) == nil
		}
		if time.Now().After(limit) {
			return run{}, false
		}
		select {
		case <-ctx.Done():
			return run{}, false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func writeRun(m drivers.Machine, r run) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := filepath.Join(m.Dir, runFile)
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// Console attaches to the serial console.
func (d *Driver) Console(ctx context.Context, m drivers.Machine) (io.ReadWriteCloser, error) {
	conn, err := dialUnix(ctx, consolePath(m))
	if err != nil {
		return nil, fmt.Errorf("%w; is it running?", err)
	}
	return conn, nil
}

// CommandLine is what Start runs, with paths for the sockets that it passes as
// descriptors.
func (d *Driver) CommandLine(m drivers.Machine) string {
	return quote(append([]string{binaryFor(m.Arch)}, args(m, d.host(m.Arch))...))
}
