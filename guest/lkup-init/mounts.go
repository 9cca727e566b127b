//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

func parent(p string) string { return path.Dir(p) }

// makeRoot puts this process onto a mount of its own over the same files. The
// kernel refuses pivot_root, which runc needs, to a process whose root is the
// initramfs itself, because nothing lies below that; it allows it from here.
// The mount lies upon the initramfs, so that who enters a container's mounts, as
// by docker exec, finds the container's root at their top. No file is copied.
func makeRoot() error {
	const own = "/.root"
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/", own, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return moveToRoot(own)
}

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

// mountKernel mounts what every program expects.
func mountKernel() error {
	const secure = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	mounts := []mount{
		{"dev", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
		{"proc", "/proc", "proc", secure, ""},
		{"sysfs", "/sys", "sysfs", secure, ""},
		{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"tmp", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5"},
		{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", secure, ""},
	}
	var failures []error
	for _, m := range mounts {
		failures = append(failures, m.do())
	}
	failures = append(failures, growRoot())
	for _, dir := range []string{"/var/log", "/var/run", "/root", "/etc"} {
		failures = append(failures, os.MkdirAll(dir, 0o755))
	}
	return errors.Join(failures...)
}

// growRoot lets a root in memory take most of it. The kernel made it for half
// of what was free while the initrd still lay beside it.
func growRoot() error {
	var root unix.Statfs_t
	if err := unix.Statfs("/", &root); err != nil || root.Type != unix.TMPFS_MAGIC {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT, "size=80%"); err != nil {
		return fmt.Errorf("grow the root: %w", err)
	}
	return nil
}

// do mounts, and makes the place first. What is mounted there already stays.
func (m mount) do() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data)
	if err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s: %w", m.target, err)
	}
	return nil
}

// mountAll mounts the host's directories and the volumes, and says so where that
// is waited for: before it, what is written to their places is lost.
func (m *machine) mountAll() {
	shares := m.mountShares()
	if m.mountDisks() && shares && len(m.config.Shares)+len(m.config.Volumes) > 0 {
		m.say(guest.StageVolumes)
	}
}

// mountShares mounts the host's directories, and makes those that the host
// fills.
func (m *machine) mountShares() (mounted bool) {
	mounted = true
	for _, s := range m.config.Shares {
		if err := m.mountShare(s); err != nil {
			m.write(guest.Unmounted(guest.ShareAt+s.Path, err.Error()))
			mounted = false
		}
	}
	return mounted
}

// cache=mmap keeps what a program maps, so that databases and linkers work, and
// asks the host for everything else: its edits are seen at once.
const shareOptions = "version=9p2000.L,msize=512000,cache=mmap,access=any"

func (m *machine) mountShare(s guest.Share) error {
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if s.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	switch {
	case s.Copy:
		return os.MkdirAll(s.Path, 0o755)
	case s.Virtiofs:
		m.modules.load("virtiofs")
		return mount{s.Tag, s.Path, "virtiofs", flags, ""}.do()
	}
	m.modules.load("9pnet_virtio", "9p")
	if s.Serial {
		return m.mountSerial(s, flags)
	}
	return mount{s.Tag, s.Path, "9p", flags, "trans=virtio," + shareOptions}.do()
}
