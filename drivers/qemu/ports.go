package qemu

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/process"
)

// portsFree tells early, and with a name, what QEMU would only say is
// impossible. It takes each port for a moment.
//
// A switch's ports are its own affair: it may hold them already.
func portsFree(m drivers.Machine) error {
	if len(m.NICs) > 0 {
		return nil
	}
	for _, p := range m.Ports {
		if err := portFree(p); err != nil {
			return err
		}
	}
	return nil
}

func portFree(p drivers.Port) error {
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	err := listenOnce(p.Protocol, where)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		holder, _ := process.Holder(p.Address, p.Host, p.Protocol)
		return fmt.Errorf("host port %s is held by %s; end it, or change \"host\" of the port for guest port %d", where, holder, p.Guest)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("host port %s is reserved for root; choose a \"host\" of 1024 or more for guest port %d", where, p.Guest)
	}
	return fmt.Errorf("host port %s cannot be used: %w", where, err)
}

func listenOnce(protocol, where string) error {
	if protocol == "udp" {
		c, err := net.ListenPacket("udp", where)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return err
	}
	return l.Close()
}
