package local

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/process"
)

// PortsFree tells early, and with a name, what a hypervisor would only say is
// impossible. It takes each port for a moment.
//
// A switch's ports are its own affair: it may hold them already.
func PortsFree(m drivers.Machine) error {
	if len(m.NICs) > 0 {
		return nil
	}
	for n, p := range m.Ports {
		for _, before := range m.Ports[:n] {
			if before.Address == p.Address && before.Host == p.Host && before.Protocol == p.Protocol {
				return fmt.Errorf("host port %s is asked for twice; change one \"host\"", net.JoinHostPort(p.Address, strconv.Itoa(p.Host)))
			}
		}
		if err := PortFree(p); err != nil {
			return err
		}
	}
	return nil
}

// PortFree does so for one port.
func PortFree(p drivers.Port) error {
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
