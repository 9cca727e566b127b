//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// mountSerial mounts a share that the host serves over a virtio serial port.
// The kernel's 9p wants a socket, which a port is not: init carries what is
// said from one to the other until the share is unmounted; then the port is
// free for whoever speaks 9P himself.
func (m *machine) mountSerial(s guest.Share, flags uintptr) error {
	m.modules.load("virtio_console", "9pnet_fd")
	port, err := openPort(s.Tag)
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	kernel, ours := pair[0], os.NewFile(uintptr(pair[1]), "9p")
	defer func() { _ = unix.Close(kernel) }() // it has its own once it is mounted
	go func() {
		_, _ = io.Copy(port, ours) // when it ends, the kernel hears of it
		_, _ = ours.Close(), port.Close()
	}()
	go func() {
		_, _ = io.Copy(ours, port)
		_, _ = ours.Close(), port.Close()
	}()
	return mount{s.Tag, s.Path, "9p", flags, fmt.Sprintf("trans=fd,rfdno=%d,wfdno=%[1]d,", kernel) + shareOptions}.do()
}

// portLimit is how long a port may take to be there: its driver asks the host
// for its name, and either may have little time.
const portLimit = 30 * time.Second

// openPort opens a virtio serial port by its name.
func openPort(name string) (*os.File, error) {
	const ports = "/sys/class/virtio-ports"
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(portLimit); time.Now().Before(limit); <-tick.C {
		entries, err := os.ReadDir(ports)
		if err != nil {
			continue // the driver is not there yet
		}
		for _, e := range entries {
			if called, err := os.ReadFile(path.Join(ports, e.Name(), "name")); err == nil && strings.TrimSpace(string(called)) == name {
				return os.OpenFile("/dev/"+e.Name(), os.O_RDWR, 0)
			}
		}
	}
	return nil, fmt.Errorf("there is no serial port %s; does the image's kernel have virtio_console?", name)
}
