// Package fake is a driver without virtual machines. It keeps what a real one
// keeps - that a machine was created, that it runs, with what - in files, so
// it is the same for every process that uses the same root. It passes the
// contract suite, writes a console like a guest's, and is quick enough for
// thousands of machines. It runs no process and holds no port of the host: its
// ports are taken for other machines of its root, and refused where the host
// has them.
package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/guest"
)

// Driver implements drivers.Driver. Its fields may be set before use; what
// they hold is called from several goroutines at once.
type Driver struct {
	root string
	// Fail, if set, is asked before and after each effect: op is "before
	// create", "after create", and so on for start, stop, delete, forward, balloon,
	// grow, pause, resume, save and restore. An error
	// ends the call there, with the effect not done or done.
	Fail func(op string, m drivers.Machine) error
	// Console, if set, gives what the guest writes when it starts; otherwise
	// it announces every stage.
	Console func(m drivers.Machine) string
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Pauser      = (*Driver)(nil)
	_ drivers.Suspender   = (*Driver)(nil)
	_ drivers.Snapshotter = (*Driver)(nil)
	_ drivers.Rewirer     = (*Driver)(nil)
)

// New makes a driver whose machines' processes, so to speak, live below root.
func New(root string) *Driver { return &Driver{root: root} }

// run is the record of a machine that runs. Its number stands for a pid.
type run struct {
	PID     int            `json:"pid"`
	Nonce   string         `json:"nonce"`
	Started time.Time      `json:"started"`
	Ports   []drivers.Port `json:"ports,omitempty"`
	Memory  int            `json:"memory"` // that the guest has
	RAM     int            `json:"ram"`    // that it was started with
	Volumes map[string]int `json:"volumes,omitempty"`
	Paused  bool           `json:"paused,omitempty"`
}

func (d *Driver) created(m drivers.Machine) string { return filepath.Join(m.Dir, "created") }

// up is the mark of a run that has not ended in order, as a pid file is.
func (d *Driver) up(m drivers.Machine) string { return filepath.Join(m.Dir, "up") }

func (d *Driver) processFile(id string) string { return filepath.Join(d.root, id+".json") }

// step does one effect between two questions to Fail.
func (d *Driver) step(op string, m drivers.Machine, do func() error) error {
	if d.Fail != nil {
		if err := d.Fail("before "+op, m); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if d.Fail != nil {
		return d.Fail("after "+op, m)
	}
	return nil
}

// Create marks the machine's directory.
func (d *Driver) Create(ctx context.Context, m drivers.Machine) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.step("create", m, func() error {
		if err := d.makeVolumes(m); err != nil {
			return err
		}
		return os.WriteFile(d.created(m), nil, 0o600)
	})
}

// Start records a process, unless another of this root, or the host, holds one
// of the machine's ports.
func (d *Driver) Start(ctx context.Context, m drivers.Machine) error {
	s, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	switch s.State {
	case drivers.Running:
		return nil
	case drivers.Paused:
		return d.Resume(ctx, m)
	case drivers.Absent:
		return fmt.Errorf("%s was not created", m.Address)
	case drivers.Unknown:
		return errors.New(s.Detail)
	case drivers.Stopped:
	}
	return d.step("start", m, func() error { return d.launch(m, d.boot, false) })
}

// launch records a process once begin has begun it.
func (d *Driver) launch(m drivers.Machine, begin func(drivers.Machine) error, paused bool) error {
	release, err := d.takePorts(m)
	if err != nil {
		return err
	}
	defer release()
	if err := begin(m); err != nil {
		return err
	}
	volumes, err := sizes(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.up(m), nil, 0o600); err != nil {
		return err
	}
	if _, told := exitStatus(m); told { // it has ended already
		return os.Remove(d.up(m))
	}
	now := time.Now().UTC()
	return d.write(m.ID, run{
		PID: firstPID + int(now.UnixNano()%(1<<30)), Nonce: m.Nonce, Started: now,
		Ports: m.Ports, Memory: m.Memory, RAM: m.Memory, Volumes: volumes, Paused: paused,
	})
}

func (d *Driver) write(id string, r run) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	part := d.processFile(id) + ".part"
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return err
	}
	return os.Rename(part, d.processFile(id))
}

// firstPID is above all real pids: Linux allows 1<<22 of them, macOS fewer.
const firstPID = 1 << 22

// boot writes what a guest would.
func (d *Driver) boot(m drivers.Machine) error {
	says := announceAll
	if d.Console != nil {
		says = d.Console
	}
	log, err := os.OpenFile(filepath.Join(m.Dir, drivers.ConsoleLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = log.WriteString(says(m))
	if status, told := exitStatus(m); told {
		_, err = log.WriteString(guest.Exit(status) + "\n")
	}
	return errors.Join(err, log.Close())
}

// exitStatus is the one that a machine's kernel command line asks for, as in
// fake.exit=3: it tells it and powers off as soon as it has started.
func exitStatus(m drivers.Machine) (int, bool) {
	for word := range strings.FieldsSeq(m.Boot.Cmdline) {
		if number, found := strings.CutPrefix(word, "fake.exit="); found {
			status, err := strconv.Atoi(number)
			return status, err == nil
		}
	}
	return 0, false
}

func announceAll(drivers.Machine) string {
	var b strings.Builder
	for _, s := range []guest.Stage{guest.StageInit, guest.StageNetwork, guest.StageSSH, guest.StageUp} {
		b.WriteString(guest.Marker(s) + "\n")
	}
	return b.String()
}

// Stop removes the process.
func (d *Driver) Stop(ctx context.Context, m drivers.Machine, grace time.Duration) (drivers.StopReport, error) {
	s, err := d.Status(ctx, m)
	if err != nil {
		return drivers.StopReport{}, err
	}
	switch s.State {
	case drivers.Absent, drivers.Stopped:
		return drivers.StopReport{}, nil
	case drivers.Unknown:
		return drivers.StopReport{}, errors.New(s.Detail)
	case drivers.Running, drivers.Paused:
	}
	report := drivers.StopReport{By: drivers.StopACPI, Took: time.Millisecond}
	if grace <= 0 {
		report.By = drivers.StopQuit
	}
	return report, d.step("stop", m, func() error { return d.PowerOff(m) })
}

// PowerOff ends the machine's process as its guest would.
func (d *Driver) PowerOff(m drivers.Machine) error {
	return errors.Join(local.Remove(d.up(m)), d.Kill(m))
}

// Kill ends the machine's process as if it had crashed.
func (d *Driver) Kill(m drivers.Machine) error { return local.Remove(d.processFile(m.ID)) }

// Delete removes the mark.
func (d *Driver) Delete(ctx context.Context, m drivers.Machine) error {
	s, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	if err := local.Deletable(m, s); err != nil {
		return err
	}
	return d.step("delete", m, func() error { return local.Remove(d.up(m), d.created(m)) })
}

// Status reads the files.
func (d *Driver) Status(ctx context.Context, m drivers.Machine) (drivers.Status, error) {
	if err := ctx.Err(); err != nil {
		return drivers.Status{}, err
	}
	r, err := d.read(m.ID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.asleep(m)
	case err != nil:
		return drivers.Status{}, err
	case r.Nonce != m.Nonce:
		return drivers.Status{State: drivers.Unknown, Detail: fmt.Sprintf(
			"process %d runs in the place of %s and is not its own; remove %s", r.PID, m.Address, d.processFile(m.ID))}, nil
	}
	state := drivers.Running
	if r.Paused {
		state = drivers.Paused
	}
	return drivers.Status{
		State: state, PID: r.PID, Started: r.Started,
		Ports: r.Ports, Memory: r.Memory, MemoryMax: r.RAM, Volumes: r.Volumes,
	}, nil
}

func (d *Driver) asleep(m drivers.Machine) (drivers.Status, error) {
	if _, err := os.Stat(d.created(m)); errors.Is(err, fs.ErrNotExist) {
		return drivers.Status{State: drivers.Absent}, nil
	} else if err != nil {
		return drivers.Status{}, err
	}
	return drivers.Status{State: drivers.Stopped}, nil
}

func (d *Driver) read(id string) (run, error) {
	var r run
	content, err := os.ReadFile(d.processFile(id))
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	return r, err
}

// Ended reads the marks.
func (d *Driver) Ended(ctx context.Context, m drivers.Machine) (drivers.Ending, error) {
	s, err := d.Status(ctx, m)
	if err != nil || s.State != drivers.Stopped {
		return drivers.NotEnded, err
	}
	_, err = os.Stat(d.up(m))
	if errors.Is(err, fs.ErrNotExist) {
		return drivers.EndedOff, nil
	}
	return drivers.EndedBad, err
}
