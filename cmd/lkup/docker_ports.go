package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/lkup/lkup/internal/dockerapi"
	"github.com/lkup/lkup/internal/process"
	"github.com/lkup/lkup/internal/view"
)

// dockerForward is a port of this host, and what it leads to.
type dockerForward struct {
	listener net.Listener
	guest    string
}

// forward has this host listen on the ports that are published, and no longer
// on others. It gives what became of each.
func (k *dockerKeeper) forward(published []dockerapi.Port) []view.DockerPort {
	leads := map[string]string{} // the host's address: the guest's
	rows := make([]view.DockerPort, len(published))
	for n, p := range published {
		host, guest := dockerAddresses(p)
		rows[n] = view.DockerPort{Container: p.Container, Private: p.Private, Protocol: p.Protocol, Guest: guestAddress(p)}
		switch {
		case p.Protocol != "tcp":
			rows[n].Problem = "only TCP is forwarded"
		case leads[host] != "" && leads[host] != guest:
			rows[n].Problem = fmt.Sprintf("%s leads to %s of the guest", host, leads[host])
		default:
			leads[host], rows[n].Host = guest, host
		}
	}
	for host, f := range k.forwards {
		if leads[host] != f.guest {
			_ = f.listener.Close()
			delete(k.forwards, host)
		}
	}
	for n, row := range rows {
		if row.Host == "" || k.forwards[row.Host] != nil {
			continue
		}
		if problem := k.open(row.Host, leads[row.Host]); problem != "" {
			rows[n].Host, rows[n].Problem = "", problem
		}
	}
	return rows
}

// open listens on a port of this host, or says why that cannot be.
func (k *dockerKeeper) open(host, guest string) (problem string) {
	var config net.ListenConfig
	listener, err := config.Listen(k.call.ctx, "tcp", host)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		at, _ := netip.ParseAddrPort(host) // it is one of ours
		holder, _ := process.Holder(at.Addr().String(), int(at.Port()), "tcp")
		return fmt.Sprintf("%s is held by %s; end it, or publish another port", host, holder)
	case errors.Is(err, syscall.EACCES):
		return host + " is reserved for root; publish a port of 1024 or more"
	case err != nil:
		return err.Error()
	}
	k.forwards[host] = &dockerForward{listener: listener, guest: guest}
	k.group.Go(func() { k.accept(listener, guest) })
	return ""
}

// guestAddress is what a port is published on, as people know it.
func guestAddress(p dockerapi.Port) string {
	return net.JoinHostPort(p.Address, strconv.Itoa(p.Public))
}

// dockerAddresses are where a published port is on this host, which is always
// its own loopback, and where it is in the guest.
func dockerAddresses(p dockerapi.Port) (host, guest string) {
	here, there := "127.0.0.1", p.Address
	at, err := netip.ParseAddr(p.Address)
	switch {
	case err != nil || at == netip.IPv4Unspecified():
		there = here
	case at == netip.IPv6Unspecified():
		here, there = "::1", "::1"
	case at.IsLoopback():
		here = p.Address
	}
	port := strconv.Itoa(p.Public)
	return net.JoinHostPort(here, port), net.JoinHostPort(there, port)
}
