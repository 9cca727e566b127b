//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// mountDisks mounts the volumes that the settings name, outer paths first, and
// has their file systems grow as their disks do.
func (m *machine) mountDisks() (mounted bool) {
	if len(m.config.Volumes) == 0 {
		return true
	}
	m.modules.load("virtio_blk", "crc32c_generic", "ext4")
	growing := newGrowing()
	go growing.listen(m.log) // for as long as the machine runs
	all := slices.Clone(m.config.Volumes)
	slices.SortStableFunc(all, func(a, b guest.Volume) int { return strings.Compare(a.Path, b.Path) })
	mounted = true
	for _, v := range all {
		device, err := mountDisk(v)
		if err != nil {
			m.write(guest.Unmounted(guest.VolumeNamed+v.Name, err.Error()))
			mounted = false
			continue
		}
		if !v.ReadOnly {
			m.try("grow the file system of "+v.Name, growing.add(device, v.Path))
		}
	}
	return mounted
}

// mountDisk mounts one volume and gives its device's name.
func mountDisk(v guest.Volume) (device string, err error) {
	if device, err = awaitDisk(v.Name); err != nil {
		return "", err
	}
	to := mount{source: "/dev/" + device, target: v.Path, kind: "ext4"}
	if !v.ReadOnly {
		return device, to.explain()
	}
	to.flags = unix.MS_RDONLY
	if err = to.do(); errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		to.data = "noload" // its journal is not empty, and cannot be written back
		err = to.do()
	}
	return device, err
}

// explain mounts, and says what a person can do about what the kernel refuses.
func (m mount) explain() error {
	err := m.do()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EUCLEAN) {
		return fmt.Errorf("%w: the file system on it is damaged, or none of ext4; look at it with a mount that has no path", err)
	}
	return err
}

// awaitDisk finds the disk with a serial number, once its driver has.
func awaitDisk(serial string) (string, error) {
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		files, err := filepath.Glob("/sys/block/*/serial")
		if err != nil {
			return "", err
		}
		for _, file := range files {
			if content, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(content)) == serial {
				return filepath.Base(filepath.Dir(file)), nil
			}
		}
		if time.Now().After(limit) {
			return "", fmt.Errorf("there is no disk with the serial number %q", serial)
		}
	}
}

// growing are the mounted file systems that grow with their disks.
type growing struct {
	socket int // of the kernel's events; negative if there is none
	added  chan [2]string
}

// newGrowing listens from now on, so that nothing is missed in between.
func newGrowing() *growing {
	g := &growing{added: make(chan [2]string)}
	var err error
	g.socket, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err == nil {
		err = unix.Bind(g.socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
	}
	if err != nil {
		g.socket = -1
	}
	return g
}

// add grows a file system that its disk has outgrown, and follows the disk.
func (g *growing) add(device, path string) error {
	err := growTo(device, path)
	g.added <- [2]string{device, path}
	return err
}

// listen takes the kernel's events: a disk that got another size says so.
func (g *growing) listen(log func(string, ...any)) {
	events := make(chan string)
	if g.socket >= 0 {
		go func() {
			buffer := make([]byte, 16<<10)
			for {
				n, err := unix.Read(g.socket, buffer)
				if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
					return
				}
				if device := resized(buffer[:max(n, 0)]); device != "" {
					events <- device
				}
			}
		}()
	}
	paths := map[string]string{}
	for {
		select {
		case pair := <-g.added:
			paths[pair[0]] = pair[1]
		case device := <-events:
			if path, mounted := paths[device]; mounted {
				if err := growTo(device, path); err != nil {
					log("cannot grow the file system at %s: %v", path, err)
				}
			}
		}
	}
}

// resized is the disk that an event of the kernel says to have a new size, or
// "". An event is a line and then fields, each ended by a zero byte.
func resized(event []byte) string {
	device, grown := "", false
	for _, field := range bytes.Split(event, []byte{0}) {
		if name, ok := bytes.CutPrefix(field, []byte("DEVNAME=")); ok {
			device = string(name)
		}
		grown = grown || string(field) == "RESIZE=1"
	}
	if !grown {
		return ""
	}
	return device
}

// resizeFS is EXT4_IOC_RESIZE_FS: _IOW('f', 16, __u64), the size in blocks.
const resizeFS = 0x40086610

// growTo makes a mounted ext4 as large as its disk. One that is as large stays
// as it is.
func growTo(device, path string) error {
	content, err := os.ReadFile("/sys/block/" + device + "/size") // in sectors of 512 bytes
	if err != nil {
		return err
	}
	var sectors uint64
	if _, err := fmt.Sscan(string(content), &sectors); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	blocks := sectors * 512 / uint64(fs.Bsize)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), resizeFS, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		return errno
	}
	return nil
}
