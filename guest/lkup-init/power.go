//go:build linux

package main

import (
	"encoding/binary"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// offSwitch makes the machine end once, whoever asks first.
type offSwitch struct {
	once  sync.Once
	begun atomic.Bool
}

// watchSignals obeys what busybox's poweroff, halt and reboot send to process 1.
func (m *machine) watchSignals() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM, unix.SIGINT)
	go func() {
		if s := <-asked; s == unix.SIGTERM || s == unix.SIGINT {
			m.end(unix.LINUX_REBOOT_CMD_RESTART)
			return
		}
		m.end(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}()
}

// A key's event as the kernel's input.h has it, on 64-bit machines: a time of
// 16 bytes, then type, code and value.
const (
	eventSize = 24
	typeKey   = 1
	keyPower  = 116
)

// watchPowerButton powers off when the host presses the button.
func (m *machine) watchPowerButton() {
	devices, err := filepath.Glob("/dev/input/event*")
	m.try("find the power button", err)
	for _, device := range devices {
		f, err := os.Open(device)
		if err != nil {
			continue
		}
		go func() {
			defer f.Close()
			event := make([]byte, eventSize)
			for {
				if _, err := io.ReadFull(f, event); err != nil {
					return
				}
				kind, code := binary.NativeEndian.Uint16(event[16:]), binary.NativeEndian.Uint16(event[18:])
				if kind == typeKey && code == keyPower && binary.NativeEndian.Uint32(event[20:]) == 1 {
					m.end(unix.LINUX_REBOOT_CMD_POWER_OFF)
				}
			}
		}()
	}
}

// stopLimit is how long services have to end before they are killed.
const stopLimit = 10 * time.Second

// end stops the services, runs the onshutdown containers, and ends the machine
// with everything written to disk. It does not return.
func (m *machine) end(how int) {
	m.off.once.Do(func() {
		m.write("\r\n" + guest.Ending) // at the beginning of a line, whatever the kernel has just written
		m.stopServices()
		m.runOnshutdown()
		unmountAll()
		unix.Sync()
		_ = unix.Reboot(how)
	})
	select {}
}

// unmountAll unmounts file systems that live on disks or on the host; what
// cannot go is at least made read-only.
func unmountAll() {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return
	}
	targets := diskMounts(string(mounts))
	for i := len(targets) - 1; i >= 0; i-- {
		if unix.Unmount(targets[i], 0) != nil {
			_ = unix.Mount("", targets[i], "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
}

// diskMounts lists the mount points of /proc/mounts that hold data.
func diskMounts(mounts string) []string {
	var targets []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (strings.HasPrefix(fields[0], "/dev/") || fields[2] == "9p" || fields[2] == "virtiofs") {
			targets = append(targets, fields[1])
		}
	}
	return targets
}
