package qemu

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lkup/lkup/drivers"
)

// Files below a machine's directory.
const (
	initrdFile = "initrd.img"
	runFile    = "run.json"
	lockFile   = "run.lock"
	errorLog   = "qemu.log"
)

// host is what the arguments depend on besides the machine.
type host struct {
	os, arch string // GOOS and GOARCH
	accel    string // kvm, hvf or tcg
	sandbox  bool   // the binary has seccomp filters
	// monitor and console are descriptors of listening sockets; they are 0
	// when the command line is only shown, and paths stand in their place.
	monitor, console int
}

// binaryFor is the QEMU program for a guest architecture.
func binaryFor(arch string) string {
	if arch == "arm64" {
		return "qemu-system-aarch64"
	}
	return "qemu-system-x86_64"
}

// args are QEMU's arguments for a machine. The function is pure.
func args(m drivers.Machine, h host) []string {
	a := []string{
		"-name", "guest=" + escape(m.Name) + ",process=lkup-" + m.ID,
		// Proves to whom this process belongs; QEMU does nothing with it.
		"-fw_cfg", "name=opt/lkup/nonce,string=" + m.Nonce,
		"-no-user-config", "-nodefaults", "-no-reboot",
		"-display", "none",
	}
	a = append(a, machineArgs(m, h)...)
	if h.sandbox {
		a = append(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	}
	a = append(a, controlArgs(m, h)...)
	a = append(a, bootArgs(m)...)
	a = append(a,
		"-device", "virtio-rng-pci",
		"-device", "virtio-balloon-pci,free-page-reporting=on",
		"-netdev", userNet(m.Ports),
		"-device", "virtio-net-pci,netdev=user0,romfile=,mac="+m.MAC,
	)
	return append(a, shareArgs(m.Shares)...)
}

func machineArgs(m drivers.Machine, h host) []string {
	machine, cpu, accel := "q35", "max", h.accel
	if m.Arch == "arm64" {
		machine = "virt"
	}
	if h.accel != "tcg" {
		cpu = "host"
	}
	if h.accel == "tcg" && m.CPUs > 1 {
		accel = "tcg,thread=multi"
	}
	return []string{
		"-machine", machine,
		"-accel", accel,
		"-cpu", cpu,
		"-smp", strconv.Itoa(m.CPUs),
		"-m", strconv.Itoa(m.Memory) + "M",
	}
}

// controlArgs are the monitor and the console, each on a socket of its own.
// The console is written to the log whether or not somebody is attached.
func controlArgs(m drivers.Machine, h host) []string {
	return []string{
		"-chardev", "socket,id=monitor,server=on,wait=off," + socket(h.monitor, monitorPath(m)),
		"-mon", "chardev=monitor,mode=control",
		"-chardev", "socket,id=console,server=on,wait=off," + socket(h.console, consolePath(m)) +
			",logappend=on,logfile=" + escape(filepath.Join(m.Dir, drivers.ConsoleLog)),
		"-serial", "chardev:console",
	}
}

func socket(descriptor int, path string) string {
	if descriptor > 0 {
		return "fd=" + strconv.Itoa(descriptor)
	}
	return "path=" + escape(path)
}

func monitorPath(m drivers.Machine) string { return filepath.Join(m.RunDir, "qmp") }
func consolePath(m drivers.Machine) string { return filepath.Join(m.RunDir, "console") }

func bootArgs(m drivers.Machine) []string {
	var a []string
	if m.Boot.Kernel != "" {
		a = append(a, "-kernel", m.Boot.Kernel)
		if initrd := initrdPath(m); initrd != "" {
			a = append(a, "-initrd", initrd)
		}
		if m.Boot.Cmdline != "" {
			a = append(a, "-append", m.Boot.Cmdline)
		}
	}
	for n := range m.Boot.Disks {
		id := "disk" + strconv.Itoa(n)
		a = append(a,
			"-drive", "if=none,format=qcow2,discard=unmap,id="+id+",file="+escape(overlayPath(m, n)),
			"-device", "virtio-blk-pci,drive="+id+",bootindex="+strconv.Itoa(n),
		)
	}
	return a
}

// initrdPath is the one file that QEMU takes: the only initrd, or all joined.
func initrdPath(m drivers.Machine) string {
	switch len(m.Boot.Initrds) {
	case 0:
		return ""
	case 1:
		return m.Boot.Initrds[0]
	}
	return filepath.Join(m.Dir, initrdFile)
}

// overlayPath is the machine's own layer over a shared disk image.
func overlayPath(m drivers.Machine, n int) string {
	return filepath.Join(m.Dir, fmt.Sprintf("disk%d.qcow2", n))
}

// userNet is QEMU's own network. Forwards always name their address: without
// one, QEMU would listen on all of them.
func userNet(ports []drivers.Port) string {
	var b strings.Builder
	b.WriteString("user,id=user0")
	for _, p := range ports {
		fmt.Fprintf(&b, ",hostfwd=%s:%s:%d-:%d", p.Protocol, p.Address, p.Host, p.Guest)
	}
	return b.String()
}

// shareArgs use security_model=none: links and modes are real on the host, and
// a guest's chown fails where the user may not.
func shareArgs(shares []drivers.Share) []string {
	var a []string
	for n, s := range shares {
		id := "share" + strconv.Itoa(n)
		device := "local,security_model=none,multidevs=remap,id=" + id + ",path=" + escape(s.Host)
		if s.ReadOnly {
			device += ",readonly=on"
		}
		a = append(a, "-fsdev", device, "-device", "virtio-9p-pci,fsdev="+id+",mount_tag="+s.Tag)
	}
	return a
}

// escape doubles commas, which separate options.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// quote shows a command for a POSIX shell.
func quote(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n\"'`$&|;<>()*?[]#~%\\!{}") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
