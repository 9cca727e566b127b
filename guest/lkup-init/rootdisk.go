//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// patience bounds the wait for the root disk: its driver finds it some time
// after it was loaded.
const patience = 20 * time.Second

// startFromDisk ends this program, if the initrd orders it, with the start of
// the init of the root disk. It returns only if there is no such order, or if
// it cannot be obeyed.
func (m *machine) startFromDisk() {
	if _, err := os.Stat(guest.RootDiskPath); errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, mount := range []mount{
		{"dev", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
	} {
		m.try("start from a disk", mount.do())
	}
	m.console = openConsole()
	m.try("start from the root disk", m.enterDisk())
}

func (m *machine) enterDisk() error {
	device, kind, err := rootDisk()
	if err != nil {
		return err
	}
	m.modules = newModules()
	m.modules.load("virtio_pci", "virtio_mmio", "squashfs", "isofs", "overlay", "sd_mod", "sr_mod")
	m.modules.loadForDevices(everything)
	if err := waitFor(device); err != nil {
		return err
	}
	const root = "/root-disk"
	if err := (mount{device, root, kind, unix.MS_RDONLY, ""}).do(); err != nil {
		return err
	}
	// The disk's init mounts these for itself. What the initrd held would take
	// memory for as long as the machine runs.
	for _, dir := range []string{"/sys", "/proc", "/dev"} {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
	_ = os.RemoveAll("/lib")
	_ = os.Remove("/init")
	if err := moveToRoot(root); err != nil {
		return err
	}
	var problems []error
	for _, path := range []string{"/init", "/sbin/init"} {
		err := unix.Exec(path, []string{path}, os.Environ())
		problems = append(problems, fmt.Errorf("run %s: %w", path, err))
	}
	return errors.Join(problems...)
}

// rootDisk is what the kernel's command line says of the root disk.
func rootDisk() (device, kind string, err error) {
	words, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", "", err
	}
	kind = "squashfs"
	for _, word := range strings.Fields(string(words)) {
		if value, ok := strings.CutPrefix(word, "root="); ok {
			device = value
		}
		if value, ok := strings.CutPrefix(word, "rootfstype="); ok {
			kind = value
		}
	}
	if !strings.HasPrefix(device, "/dev/") {
		return "", "", errors.New("the kernel's command line names no disk; add root=/dev/vda")
	}
	return device, kind, nil
}

func waitFor(device string) error {
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(device)
		if err == nil || time.Now().After(limit) {
			return err
		}
	}
}

// moveToRoot makes a mount the root of this program and its children.
func moveToRoot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", dir, err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

// makeWritable lays memory over a root that cannot be written, such as a
// squashfs. Nothing of what is written there outlives the machine's run.
func makeWritable() error {
	var root unix.Statfs_t
	if err := unix.Statfs("/", &root); err != nil {
		return err
	}
	if root.Flags&unix.ST_RDONLY == 0 {
		return nil
	}
	newModules().load("overlay")
	// A folder that every image has; what is mounted there now goes out of
	// sight with the old root.
	const memory = "/dev"
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount memory: %w", err)
	}
	for _, dir := range []string{"/upper", "/work", "/root"} {
		if err := os.Mkdir(memory+dir, 0o755); err != nil {
			return err
		}
	}
	options := "lowerdir=/,upperdir=" + memory + "/upper,workdir=" + memory + "/work"
	if err := unix.Mount("overlay", memory+"/root", "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay: %w", err)
	}
	return moveToRoot(memory + "/root")
}
