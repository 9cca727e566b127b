//go:build linux

package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// setNetwork gives the interfaces their fixed addresses, and writes the names
// that the guest knows.
func (m *machine) setNetwork() error {
	failures := []error{up("lo"), m.writeHosts(), m.writeResolvers()}
	for _, i := range m.config.Interfaces {
		link, err := byMAC(i.MAC)
		if err == nil {
			err = configure(link, i)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func byMAC(mac string) (netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if strings.EqualFold(link.Attrs().HardwareAddr.String(), mac) {
			return link, nil
		}
	}
	return nil, fmt.Errorf("there is no interface with address %s", mac)
}

func configure(link netlink.Link, i guest.Interface) error {
	if err := address(link, i.Address, 0); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	var failures []error
	if i.Address6 != "" {
		// Nobody else can have it, so that it need not be asked for first.
		failures = append(failures, address(link, i.Address6, unix.IFA_F_NODAD))
	}
	if i.Gateway != "" {
		failures = append(failures, netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(i.Gateway)}))
	}
	return errors.Join(failures...)
}

func address(link netlink.Link, cidr string, flags int) error {
	parsed, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	parsed.Flags = flags
	if err := netlink.AddrReplace(link, parsed); err != nil {
		return fmt.Errorf("give %s the address %s: %w", link.Attrs().Name, cidr, err)
	}
	return nil
}

func (m *machine) writeHosts() error {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n", m.config.Hostname)
	for _, name := range slices.Sorted(maps.Keys(m.config.Hosts)) {
		fmt.Fprintf(&b, "%s %s\n", m.config.Hosts[name], name)
	}
	return writeFile("/etc/hosts", b.String())
}

func (m *machine) writeResolvers() error {
	var b strings.Builder
	if len(m.config.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(m.config.Search, " "))
	}
	for _, server := range m.config.DNS {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	// LinuxKit's images link to /run/resolvconf/resolv.conf, so both are
	// written; the first even if it is empty, for containers bind it.
	if err := writeFile("/run/resolvconf/resolv.conf", b.String()); err != nil || len(m.config.DNS) == 0 {
		return err
	}
	if target, err := os.Readlink("/etc/resolv.conf"); err == nil && target != "" {
		return nil
	}
	return writeFile("/etc/resolv.conf", b.String())
}
