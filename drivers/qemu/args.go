package qemu

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// host is what the arguments depend on besides the machine.
type host struct {
	arch     string // GOARCH
	accel    string // kvm, hvf or tcg
	sandbox  bool   // the program has seccomp filters
	firmware string // UEFI's, for machines that need it
	initrd   string // takes the place of the machine's; may be empty
	// monitor and console are descriptors of listening sockets; they are 0
	// when the command line is only shown, and paths stand in their place.
	monitor, console int
	// incoming is a descriptor of the memory that the machine begins with, in
	// the place of a boot; 0 if it boots.
	incoming int
	// shares is the descriptor of the connection to who serves the first share
	// with protected paths; those of the others follow. 0 as for monitor.
	shares int
	// virtiofs is the same of the first share over virtiofs.
	virtiofs int
}

// The architectures of guests, as Go names them.
const (
	amd64 = spec.ArchAMD64
	arm64 = spec.ArchARM64
)

// binaryFor is the QEMU program for a guest architecture.
func binaryFor(arch string) string {
	if arch == arm64 {
		return "qemu-system-aarch64"
	}
	return "qemu-system-x86_64"
}

// mark is what proves to whom a process belongs. It stands in the machine's
// name, of which the guest sees nothing.
func mark(m drivers.Machine) string { return m.ID + "/" + m.Nonce }

// args are QEMU's arguments for a machine. The function is pure.
func args(m drivers.Machine, h host) []string {
	a := []string{
		"-name", "guest=" + escape(m.Name+"/"+mark(m)),
		"-no-user-config", "-nodefaults", "-no-reboot",
		"-display", "none",
	}
	a = append(a, machineArgs(m, h)...)
	if h.sandbox {
		a = append(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	}
	a = append(a, controlArgs(m, h)...)
	a = append(a, bootArgs(m, h)...)
	a = append(a,
		"-device", "virtio-rng-pci",
		"-device", "virtio-balloon-pci,free-page-reporting=on",
	)
	a = append(a, networkArgs(m)...)
	a = append(a, volumeArgs(m.Volumes)...)
	a = append(a, discArgs(m)...)
	a = append(a, shareArgs(m, h)...)
	if h.incoming > 0 {
		a = append(a, "-S", "-incoming", "fd:"+strconv.Itoa(h.incoming))
	}
	return a
}

func machineArgs(m drivers.Machine, h host) []string {
	machine, cpu, accel := "q35", "max", h.accel
	if m.Arch == arm64 {
		machine = "virt,gic-version=max"
	}
	if h.accel != "tcg" {
		cpu = "host"
	}
	// x86 promises its programs more order in memory than arm64 keeps.
	if weaker := m.Arch == amd64 && h.arch == arm64; h.accel == "tcg" && m.CPUs > 1 && !weaker {
		accel = "tcg,thread=multi"
	}
	memory := strconv.Itoa(m.Memory) + "M"
	var shared []string
	if overVirtiofs(m) > 0 { // who serves it reads and writes the guest's memory
		machine += ",memory-backend=ram"
		shared = []string{"-object", "memory-backend-memfd,id=ram,share=on,size=" + memory}
	}
	return append([]string{
		"-machine", machine,
		"-accel", accel,
		"-cpu", cpu,
		"-smp", strconv.Itoa(m.CPUs),
		"-m", memory,
	}, shared...)
}

// controlArgs are the monitor and the console, each on a socket of its own.
// The console is written to the log whether or not somebody is attached.
func controlArgs(m drivers.Machine, h host) []string {
	return []string{
		"-chardev", "socket,id=monitor,server=on,wait=off," + socket(h.monitor, monitorPath(m)),
		"-mon", "chardev=monitor,mode=control",
		"-pidfile", pidPath(m), // QEMU removes it unless it is killed
		"-chardev", "socket,id=console,server=on,wait=off," + socket(h.console, consolePath(m)) +
			",logappend=on,logfile=" + escape(consoleLog(m)),
		"-serial", "chardev:console",
	}
}

func socket(descriptor int, path string) string {
	if descriptor > 0 {
		return "fd=" + strconv.Itoa(descriptor)
	}
	return "path=" + escape(path)
}

// kernelWords are the kernel's. Linux panics ("IO-APIC + timer doesn't work!") if
// no timer interrupt comes for some ticks while it looks for one, which is a
// matter of luck where a busy host emulates it: there it is told not to look, as it
// tells itself under KVM.
func kernelWords(m drivers.Machine, h host) string {
	if m.Arch != amd64 || h.accel != "tcg" || m.Boot.Cmdline == "" {
		return m.Boot.Cmdline
	}
	return m.Boot.Cmdline + " no_timer_check"
}

func bootArgs(m drivers.Machine, h host) []string {
	var a []string
	if h.firmware != "" {
		a = append(a, "-bios", h.firmware)
	}
	if m.Boot.Kernel != "" {
		a = append(a, "-kernel", m.Boot.Kernel)
		if initrd := cmp.Or(h.initrd, initrdPath(m)); initrd != "" {
			a = append(a, "-initrd", initrd)
		}
		if words := kernelWords(m, h); words != "" {
			a = append(a, "-append", words)
		}
	}
	for n, disk := range m.Boot.Disks {
		id := "disk" + strconv.Itoa(n)
		if disk.Format == drivers.CD {
			a = append(a, cdArgs(m, id, n, disk)...)
			continue
		}
		device := "virtio-blk-pci,drive=" + id + onError
		if m.Boot.Kernel == "" { // else the kernel has the first place
			device += ",bootindex=" + strconv.Itoa(n)
		}
		a = append(a, "-blockdev", diskNode(id, disk, overlayPath(m, n)), "-device", device)
	}
	return a
}

// cdArgs is a drive with a CD in it. q35 has a controller that every installer
// knows; other machines have none, and get one.
func cdArgs(m drivers.Machine, id string, n int, disk drivers.Disk) []string {
	device := "ide-cd,bus=ide." + strconv.Itoa(n)
	var a []string
	if m.Arch != amd64 {
		a = []string{"-device", "virtio-scsi-pci,id=cd" + strconv.Itoa(n)}
		device = "scsi-cd,bus=cd" + strconv.Itoa(n) + ".0"
	}
	device += ",drive=" + id
	if m.Boot.Kernel == "" {
		device += ",bootindex=" + strconv.Itoa(n)
	}
	file := node{Driver: "file", Filename: disk.Path, ReadOnly: true}
	return append(a, "-blockdev", encode(node{Driver: "raw", Name: id, ReadOnly: true, File: &file}), "-device", device)
}

// node is a block device as QEMU's blockdev-add has it.
type node struct {
	Driver   string          `json:"driver"`
	Name     string          `json:"node-name,omitempty"`
	ReadOnly bool            `json:"read-only,omitempty"`
	Discard  string          `json:"discard,omitempty"`
	Filename string          `json:"filename,omitempty"`
	File     *node           `json:"file,omitempty"`
	Backing  json.RawMessage `json:"backing,omitempty"`
}

// diskNode is a machine's own layer over a disk image. Every format is given,
// and what the image's own header names as lying below it is not opened.
func diskNode(id string, d drivers.Disk, overlay string) string {
	base := node{Driver: d.Format, ReadOnly: true, File: &node{Driver: "file", Filename: d.Path, ReadOnly: true}}
	if d.Format == "qcow2" {
		base.Backing = json.RawMessage("null")
	}
	return encode(node{
		Driver: "qcow2", Name: id, Discard: "unmap",
		File:    &node{Driver: "file", Filename: overlay, Discard: "unmap"},
		Backing: json.RawMessage(encode(base)),
	})
}

// onError has a disk that the host cannot write or read, for it is full, stop
// the machine where it is: the guest hears of no error, and goes on later.
const onError = ",werror=stop,rerror=stop"

func encode(n node) string {
	content, err := json.Marshal(n)
	if err != nil {
		panic("a struct of strings has no JSON: " + err.Error())
	}
	return string(content)
}

const userNetID = "user,id=user0"

// userNet is QEMU's own network. Forwards always name their address: without
// one, QEMU would listen on all of them.
func userNet(ports []drivers.Port, isolated bool) string {
	var b strings.Builder
	b.WriteString(userNetID)
	if isolated { // IPv6 is left out, so that there is one way less to shut
		b.WriteString(",restrict=on,ipv6=off")
	}
	for _, p := range ports {
		b.WriteString(",hostfwd=" + forward(p))
	}
	return b.String()
}

// forward is a port as QEMU writes it.
func forward(p drivers.Port) string {
	return fmt.Sprintf("%s:%s:%d-:%d", p.Protocol, p.Address, p.Host, p.Guest)
}

// shareArgs use security_model=none: links and modes are real on the host, and
// a guest's chown fails where the user may not. QEMU does not reach into shares
// with protected paths; it carries what the guest says to who serves them.
func shareArgs(m drivers.Machine, h host) []string {
	var a []string
	served, daemons := 0, 0
	for n, s := range m.Shares {
		id := "share" + strconv.Itoa(n)
		if s.Type == spec.ShareVirtiofs {
			connection := "path=" + escape(virtiofsPath(m, n))
			if h.virtiofs > 0 {
				connection = "fd=" + strconv.Itoa(h.virtiofs+daemons)
			}
			a = append(a, "-chardev", "socket,id="+id+","+connection, "-device", "vhost-user-fs-pci,chardev="+id+",tag="+escape(s.Tag))
			daemons++
			continue
		}
		if len(s.Protect) > 0 {
			if served == 0 {
				a = append(a, "-device", "virtio-serial-pci,id=shares")
			}
			connection := "server=on,wait=off,path=" + escape(filepath.Join(m.RunDir, id))
			if h.shares > 0 {
				connection = "fd=" + strconv.Itoa(h.shares+served)
			}
			a = append(a, "-chardev", "socket,id="+id+","+connection, "-device", "virtserialport,bus=shares.0,chardev="+id+",name="+escape(s.Tag))
			served++
			continue
		}
		device := "local,security_model=none,multidevs=remap,id=" + id + ",path=" + escape(s.Host)
		if s.ReadOnly {
			device += ",readonly=on"
		}
		a = append(a, "-fsdev", device, "-device", "virtio-9p-pci,fsdev="+id+",mount_tag="+escape(s.Tag))
	}
	return a
}

// escape doubles commas, which separate options.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// Paths of a machine. Its directories are clean.

const separator = string(filepath.Separator)

func monitorPath(m drivers.Machine) string { return m.RunDir + separator + "qmp" }
func consolePath(m drivers.Machine) string { return filepath.Join(m.RunDir, "console") }
func consoleLog(m drivers.Machine) string  { return filepath.Join(m.Dir, drivers.ConsoleLog) }
func createdPath(m drivers.Machine) string { return m.Dir + separator + "created" }
func runPath(m drivers.Machine) string     { return m.Dir + separator + "run.json" }
func pidPath(m drivers.Machine) string     { return m.Dir + separator + "qemu.pid" }
func lockPath(m drivers.Machine) string    { return m.Dir + separator + "run.lock" }
func filesLog(m drivers.Machine) string    { return filepath.Join(m.Dir, "shares.log") }
func sayingsPath(m drivers.Machine) string { return filepath.Join(m.Dir, "qemu.log") }

// overlayPath is the machine's own layer over a shared disk image.
func overlayPath(m drivers.Machine, n int) string {
	return filepath.Join(m.Dir, fmt.Sprintf("disk%d.qcow2", n))
}

// joinedPath is where several initrds are joined.
func joinedPath(m drivers.Machine) string { return filepath.Join(m.Dir, "initrd.img") }

// seededPath is where the seed is joined to them, until QEMU has read it.
func seededPath(m drivers.Machine) string { return filepath.Join(m.RunDir, "seeded.img") }

// initrdPath is the one file that QEMU takes: the only initrd, or all joined,
// without the seed.
func initrdPath(m drivers.Machine) string {
	switch len(m.Boot.Initrds) {
	case 0:
		return ""
	case 1:
		return m.Boot.Initrds[0]
	}
	return joinedPath(m)
}
