package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

// Start starts QEMU on its own: in a session of its own, holding the machine's
// lock, its sockets already listening. A paused machine goes on.
func (d *Driver) Start(ctx context.Context, m drivers.Machine) error {
	status, err := d.Status(ctx, m)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	switch status.State {
	case drivers.Running:
		if status.Detail != "" { // on its way up, and may not have read it yet
			return nil
		}
		return local.Remove(seededPath(m))
	case drivers.Paused:
		return d.Resume(ctx, m)
	case drivers.Unknown:
		return errors.New(status.Detail)
	case drivers.Absent:
		return fmt.Errorf("%s was not created", m.Address)
	case drivers.Stopped:
	}
	program, err := d.program(binaryFor(m.Arch))
	if err != nil {
		return err
	}
	if err := check(m); err != nil {
		return err
	}
	if err := joinInitrds(m); err != nil {
		return err
	}
	err = d.plug(ctx, m, func() error { return d.launch(ctx, program, m) })
	var exit *ExitError
	if err == nil || errors.As(err, &exit) { // else it may still be on its way up
		err = errors.Join(err, local.Remove(seededPath(m)))
	}
	return err
}

// joinInitrds makes the one file that QEMU takes where there are several.
func joinInitrds(m drivers.Machine) error {
	if len(m.Boot.Initrds) > 1 {
		if err := join(joinedPath(m), m.Boot.Initrds); err != nil {
			return local.Full(fmt.Errorf("join the initrds: %w", err), m.Dir)
		}
	}
	if len(m.Boot.Seed) > 0 {
		if err := join(seededPath(m), slices.Concat(m.Boot.Initrds, m.Boot.Seed)); err != nil {
			return local.Full(fmt.Errorf("join the initrds: %w", err), m.RunDir)
		}
	}
	return nil
}

// launch tries with seccomp filters, and without them only if the program was
// built so.
func (d *Driver) launch(ctx context.Context, program string, m drivers.Machine) error {
	h := d.host(m)
	err := d.spawn(ctx, program, m, h, nil)
	var exit *ExitError
	if errors.As(err, &exit) && h.sandbox && !filters(ctx, program) {
		d.unfiltered.Store(true)
		return d.spawn(ctx, program, m, d.host(m), nil)
	}
	return err
}

// maxSocketPath is macOS's limit, the smaller of the two.
const maxSocketPath = 103

// check looks for all that can be known to be wrong before a process is made.
func check(m drivers.Machine) error {
	if path := consolePath(m); len(path) > maxSocketPath {
		return fmt.Errorf("the path %s is too long for a socket (%d bytes of at most %d); set LKUP_RUNTIME_DIR to a shorter directory", path, len(path), maxSocketPath)
	}
	for what, paths := range map[string][]string{"kernel": {m.Boot.Kernel}, "initrd": slices.Concat(m.Boot.Initrds, m.Boot.Seed), "disk": disks(m), "disk with its settings": {m.Disc}} {
		for _, path := range paths {
			if path == "" {
				continue
			}
			if err := readable(path); err != nil {
				return fmt.Errorf("the %s cannot be read: %w; its image must be fetched or built again", what, err)
			}
		}
	}
	if m.Boot.Kernel == "" && len(m.Boot.Disks) == 0 {
		return fmt.Errorf("%s has neither a kernel nor a disk to boot from", m.Address)
	}
	for _, s := range m.Shares {
		if info, err := os.Stat(s.Host); err != nil || !info.IsDir() {
			return fmt.Errorf("the shared directory %s is not there; make it, or change \"host\" of the share for %s", s.Host, s.Guest)
		}
	}
	if needsFirmware(m) {
		if _, found := firmware(m.Arch); !found {
			return noFirmware(m.Arch)
		}
	}
	return local.PortsFree(m)
}

func disks(m drivers.Machine) []string {
	var paths []string
	for n, disk := range m.Boot.Disks {
		paths = append(paths, disk.Path)
		if disk.Format != drivers.CD {
			paths = append(paths, overlayPath(m, n))
		}
	}
	return paths
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// needsFirmware reports whether the machine starts by UEFI, which every arm64
// disk does.
func needsFirmware(m drivers.Machine) bool {
	return m.Boot.Kernel == "" && (m.Arch == arm64 || m.Boot.Firmware == drivers.UEFI)
}

// firmware finds UEFI where Debian, Homebrew and others put it. For amd64 it
// is one file with room for variables; those in two files need more options.
func firmware(arch string) (path string, found bool) {
	places := []string{
		"/usr/share/ovmf/OVMF.fd",
		"/usr/share/qemu/OVMF.fd",
	}
	if arch == arm64 {
		places = []string{
			"/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
			"/usr/share/qemu/edk2-aarch64-code.fd",
			"/opt/homebrew/share/qemu/edk2-aarch64-code.fd",
			"/usr/local/share/qemu/edk2-aarch64-code.fd",
		}
	}
	for _, path := range places {
		if readable(path) == nil {
			return path, true
		}
	}
	return "", false
}

func noFirmware(arch string) error {
	if arch == arm64 {
		return errors.New("no UEFI firmware is installed, which an arm64 disk boots by; type: " + firmwareHint(arch))
	}
	return errors.New("no UEFI firmware is installed, which this disk boots by; type: " + firmwareHint(arch) + ", or use a disk for a BIOS")
}

func firmwareHint(arch string) string {
	if arch == arm64 {
		return installHint("qemu-efi-aarch64")
	}
	return "sudo apt-get install ovmf"
}

// program finds a program, or says how to install it.
func (d *Driver) program(name string) (string, error) {
	path, err := d.settings.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed; type: %s", name, installHint(name))
	}
	return path, nil
}

func installHint(program string) string {
	if runtime.GOOS == "darwin" {
		return "brew install qemu"
	}
	switch program {
	case "qemu-img":
		return "sudo apt-get install qemu-utils"
	case "qemu-system-aarch64":
		return "sudo apt-get install qemu-system-arm"
	case "qemu-efi-aarch64":
		return "sudo apt-get install qemu-efi-aarch64"
	}
	return "sudo apt-get install qemu-system-x86"
}
