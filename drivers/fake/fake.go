// Package fake is a driver without virtual machines. It keeps what a real one
// keeps - that a machine was created, that it runs, with what - in files, so
// it is the same for every process that uses the same root, and it holds no
// more of the host than that. It passes the contract suite, writes a console
// like a guest's, and is quick enough for thousands of machines.
package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
)

// Driver implements drivers.Driver. Fail may be set before use.
type Driver struct {
	root string
	// Fail, if set, is asked before and after each effect: op is "before
	// start", "after start" and so on. An error ends the call there, with the
	// effect not done or done.
	Fail func(op string, m drivers.Machine) error
}

// New makes a driver whose machines' processes, so to speak, live below root.
func New(root string) *Driver { return &Driver{root: root} }

// process is the record of a machine that runs. Its number stands for a pid.
type process struct {
	PID     int            `json:"pid"`
	Nonce   string         `json:"nonce"`
	Started time.Time      `json:"started"`
	Ports   []drivers.Port `json:"ports,omitempty"`
	Memory  int            `json:"memory"`
}

const createdFile = "created"

func (d *Driver) created(m drivers.Machine) string { return filepath.Join(m.Dir, createdFile) }

func (d *Driver) processFile(m drivers.Machine) string {
	return filepath.Join(d.root, m.ID+".json")
}

// step does one effect between two questions to Fail.
func (d *Driver) step(ctx context.Context, op string, m drivers.Machine, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
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
	return d.step(ctx, "create", m, func() error {
		return os.WriteFile(d.created(m), nil, 0o600)
	})
}

// Start records a process, unless another of this root, or the host, holds one
// of the machine's ports.
func (d *Driver) Start(ctx context.Context, m drivers.Machine) error {
	s, err := d.Status(ctx, m)
	switch {
	case err != nil || s.State == drivers.Running:
		return err
	case s.State == drivers.Absent:
		return fmt.Errorf("%s was not created", m.Address)
	}
	return d.step(ctx, "start", m, func() error { return d.run(m) })
}

func (d *Driver) run(m drivers.Machine) error {
	if err := os.MkdirAll(d.root, 0o700); err != nil {
		return err
	}
	for _, p := range m.Ports {
		if err := d.portFree(p); err != nil {
			return err
		}
	}
	if err := d.boot(m); err != nil {
		return err
	}
	now := time.Now().UTC()
	content, err := json.Marshal(process{
		PID: 1<<22 + int(now.UnixNano()%(1<<30)), Nonce: m.Nonce, Started: now, Ports: m.Ports, Memory: m.Memory,
	})
	if err != nil {
		return err
	}
	part := d.processFile(m) + ".part"
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return err
	}
	return os.Rename(part, d.processFile(m))
}

// boot writes what a guest would.
func (d *Driver) boot(m drivers.Machine) error {
	log, err := os.OpenFile(filepath.Join(m.Dir, drivers.ConsoleLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for _, s := range []guest.Stage{guest.StageInit, guest.StageNetwork, guest.StageSSH, guest.StageUp} {
		if _, err := fmt.Fprintln(log, guest.Marker(s)); err != nil {
			return errors.Join(err, log.Close())
		}
	}
	return log.Close()
}

// portFree looks at the host's ports and at those of the other machines.
func (d *Driver) portFree(p drivers.Port) error {
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	others, err := filepath.Glob(filepath.Join(d.root, "*.json"))
	if err != nil {
		return err
	}
	for _, path := range others {
		other, err := read(path)
		if err != nil {
			continue // it ended just now
		}
		for _, held := range other.Ports {
			if held.Host == p.Host && held.Protocol == p.Protocol {
				return fmt.Errorf("host port %s is held by process %d", where, other.PID)
			}
		}
	}
	if p.Protocol == "udp" {
		conn, err := net.ListenPacket("udp", where)
		if err != nil {
			return fmt.Errorf("host port %s is held by another process: %w", where, err)
		}
		return conn.Close()
	}
	listener, err := net.Listen("tcp", where)
	if err != nil {
		return fmt.Errorf("host port %s is held by another process: %w", where, err)
	}
	return listener.Close()
}

func read(path string) (process, error) {
	var p process
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &p)
	}
	return p, err
}

// Stop removes the process.
func (d *Driver) Stop(ctx context.Context, m drivers.Machine, _ time.Duration) (drivers.StopReport, error) {
	s, err := d.Status(ctx, m)
	if err != nil || s.State != drivers.Running {
		return drivers.StopReport{}, err
	}
	err = d.step(ctx, "stop", m, func() error { return os.Remove(d.processFile(m)) })
	return drivers.StopReport{By: drivers.StopACPI}, err
}

// Delete removes the mark.
func (d *Driver) Delete(ctx context.Context, m drivers.Machine) error {
	s, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	if s.State == drivers.Running {
		return fmt.Errorf("%s still runs (process %d); stop it first", m.Address, s.PID)
	}
	return d.step(ctx, "delete", m, func() error {
		if err := os.Remove(d.created(m)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// Status reads the files.
func (d *Driver) Status(ctx context.Context, m drivers.Machine) (drivers.Status, error) {
	if err := ctx.Err(); err != nil {
		return drivers.Status{}, err
	}
	if _, err := os.Stat(d.created(m)); errors.Is(err, fs.ErrNotExist) {
		return drivers.Status{State: drivers.Absent}, nil
	}
	p, err := read(d.processFile(m))
	if errors.Is(err, fs.ErrNotExist) {
		return drivers.Status{State: drivers.Stopped}, nil
	}
	if err != nil {
		return drivers.Status{}, err
	}
	if p.Nonce != m.Nonce {
		return drivers.Status{State: drivers.Unknown, Detail: "a process runs under its name that is not its own"}, nil
	}
	return drivers.Status{State: drivers.Running, PID: p.PID, Started: p.Started, Ports: p.Ports, Memory: p.Memory}, nil
}
