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
)

// setNetwork gives the interfaces their fixed addresses, and writes the names
// that the guest knows.
func (m *machine) setNetwork() error {
	failures := []error{up("lo"), m.writeHosts(), m.writeResolvers()}
	for _, i := range m.config.Interfaces {
		link, err := byMAC(i.MAC)
		if err == nil {
			err = configure(link, i.Address, i.Gateway)
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

func configure(link netlink.Link, address, gateway string) error {
	parsed, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, parsed); err != nil {
		return fmt.Errorf("give %s the address %s: %w", link.Attrs().Name, address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	if gateway == "" {
		return nil
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(gateway)})
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
