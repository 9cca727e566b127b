package fake

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/process"
)

// Who claims a port leaves a file named by its ID in a folder named by the
// port. The claim counts as long as that machine's process holds the port, so
// nothing need be cleared up after a crash.

// takePorts claims the machine's ports. Nobody else can until release is
// called, when the machine's process must be recorded.
func (d *Driver) takePorts(m drivers.Machine) (release func(), err error) {
	if err := os.MkdirAll(d.root, 0o700); err != nil {
		return nil, err
	}
	if len(m.Ports) == 0 {
		return func() {}, nil
	}
	lock := flock.New(filepath.Join(d.root, "ports.lock"))
	if err := lock.Lock(); err != nil {
		return nil, err
	}
	for n, p := range m.Ports {
		err := d.take(p, m.ID)
		if slices.ContainsFunc(m.Ports[:n], func(before drivers.Port) bool { return collide(before, p) }) {
			err = fmt.Errorf("host port %d is asked for twice; change one \"host\"", p.Host)
		}
		if err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	return func() { _ = lock.Close() }, nil
}

func (d *Driver) take(p drivers.Port, id string) error {
	folder := filepath.Join(d.root, "ports", p.Protocol+"-"+strconv.Itoa(p.Host))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	claims, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if claim.Name() == id {
			continue
		}
		holder, err := d.read(claim.Name())
		if err == nil && slices.ContainsFunc(holder.Ports, func(held drivers.Port) bool { return collide(held, p) }) {
			return fmt.Errorf("host port %d is held by process %d, the machine %s; change one \"host\"", p.Host, holder.PID, claim.Name())
		}
	}
	if err := freeOnHost(p); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, id), nil, 0o600)
}

func collide(a, b drivers.Port) bool {
	return a.Host == b.Host && a.Protocol == b.Protocol &&
		(a.Address == b.Address || a.Address == "0.0.0.0" || b.Address == "0.0.0.0")
}

// freeOnHost takes the port for a moment.
func freeOnHost(p drivers.Port) error {
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	closer, err := listen(p.Protocol, where)
	switch {
	case err == nil:
		return closer()
	case errors.Is(err, syscall.EADDRINUSE):
		holder, _ := process.Holder(p.Address, p.Host, p.Protocol)
		return fmt.Errorf("host port %s is held by %s; end it, or change \"host\"", where, holder)
	}
	return fmt.Errorf("host port %s cannot be used: %w", where, err)
}

func listen(protocol, where string) (closer func() error, err error) {
	if protocol == "udp" {
		conn, err := net.ListenPacket("udp", where)
		if err != nil {
			return nil, err
		}
		return conn.Close, nil
	}
	listener, err := net.Listen("tcp", where)
	if err != nil {
		return nil, err
	}
	return listener.Close, nil
}
