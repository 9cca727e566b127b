//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netdev is an interface to make, or to move, for a container.
type netdev struct {
	Name         string `json:"name"`
	Add          string `json:"add"`  // its type; empty to move one that is there
	Peer         string `json:"peer"` // the other end of a veth, which stays here
	CreateInRoot bool   `json:"createInRoot"`
}

// touchesProcess reports whether something is to be done between making the
// container and starting it.
func (r runtime) touchesProcess() bool {
	for _, path := range r.BindNS {
		if path != "" {
			return true
		}
	}
	return len(r.Interfaces) > 0
}

// createAndStart makes the container, does what needs its namespaces, and
// starts it. Its first process becomes a child of this one.
func (m *machine) createAndStart(c container, r runtime) (*service, error) {
	pid, err := m.create(c)
	if err != nil {
		c.output.closeWrite()
		return nil, c.output.reason(err)
	}
	err = m.dress(pid, r)
	if err == nil {
		err = m.children.Run(c.command("start", c.id))
	}
	c.output.closeWrite()
	s := &service{name: c.name, over: make(chan struct{}), stop: func() {
		_ = unix.Kill(pid, unix.SIGTERM)
		killDeaf([]int{pid})
	}}
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	go m.follow(s, c, func() error {
		err := m.children.WaitAdopted(pid)
		_ = m.children.Run(c.command("delete", "--force", c.id)) // what is left of it is only in the way of a second one
		return err
	})
	if err != nil {
		<-s.over
		return nil, err
	}
	return s, nil
}

func (m *machine) create(c container) (pid int, err error) {
	if err := m.children.Run(c.command("create", "--bundle", c.bundle, "--pid-file", c.pidFile(), c.id)); err != nil {
		return 0, err
	}
	content, err := os.ReadFile(c.pidFile())
	if err != nil {
		return 0, err
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(content))); err != nil {
		return 0, err
	}
	m.children.Adopt(pid)
	return pid, nil
}

// dress gives a container that is made and not started its interfaces, and
// binds its namespaces to the paths at which they are to stay reachable.
func (m *machine) dress(pid int, r runtime) error {
	for _, i := range r.Interfaces {
		if err := m.giveInterface(pid, i); err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
	}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		if path := r.BindNS[kind]; path != "" {
			if err := keepNamespace(pid, kind, path); err != nil {
				return fmt.Errorf("keep its %s namespace at %s: %w", kind, path, err)
			}
		}
	}
	return nil
}

func (m *machine) giveInterface(pid int, i netdev) error {
	if i.Peer != "" && i.Add == "" {
		i.Add = "veth"
	}
	if i.Add == "" {
		link, err := netlink.LinkByName(i.Name)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsPid(link, pid)
	}
	m.modules.load(i.Add)
	attributes := netlink.NewLinkAttrs()
	attributes.Name = i.Name
	// The kernel makes both ends of a veth where the first is made, and the
	// peer is to stay in the root.
	inRoot := i.CreateInRoot || i.Add == "veth"
	if !inRoot {
		attributes.Namespace = netlink.NsPid(pid)
	}
	var link netlink.Link = &netlink.GenericLink{LinkAttrs: attributes, LinkType: i.Add}
	if i.Add == "veth" {
		link = &netlink.Veth{LinkAttrs: attributes, PeerName: i.Peer}
	}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("make it as %s: %w", i.Add, err)
	}
	if !inRoot {
		return nil
	}
	return netlink.LinkSetNsPid(link, pid)
}

// keepNamespace binds a namespace of a process to a path, where it outlives
// the process and others can enter it.
func keepNamespace(pid int, kind, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return unix.Mount(fmt.Sprintf("/proc/%d/ns/%s", pid, kind), path, "", unix.MS_BIND, "")
}
