// Package drivers is the contract between lkup and what runs machines. An
// implementation lives in a folder of its own and passes the suite in
// drivertest; that suite is the definition of "done" for a new driver.
//
// A driver obeys. Every choice - ports, sizes, paths, identity - is made
// before it is called and stands in the [Machine].
package drivers

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/lkup/lkup/spec"
)

// Driver runs machines of one kind. Every method may be repeated: to create
// what exists, start what runs, stop what is stopped or delete what is gone is
// success. Methods may be called concurrently for different machines, never
// for the same one. A cancelled ctx ends waiting, never a guest.
type Driver interface {
	// Create makes what must exist before the first start, below m.Dir, which
	// exists and is empty but for files that lkup wrote. It makes volumes that
	// are not there, and makes those larger that are smaller than m says;
	// while the machine runs it does neither.
	Create(ctx context.Context, m Machine) error
	// Start starts the machine and returns once its process runs on its own,
	// so that it outlives the caller. It does not wait for the guest. It
	// starts the machine with exactly what m says, which may differ from
	// what earlier starts were given.
	Start(ctx context.Context, m Machine) error
	// Stop ends the machine by the gentlest means that works within grace,
	// and says which one did. It signals only a process proven to be m's.
	Stop(ctx context.Context, m Machine, grace time.Duration) (StopReport, error)
	// Delete removes all that Create and Start made outside of m.Dir, and may
	// empty m.Dir. It refuses while the machine runs.
	Delete(ctx context.Context, m Machine) error
	// Status asks the world, not a record of it. A machine that was never
	// created has state Absent, without an error.
	Status(ctx context.Context, m Machine) (Status, error)
}

// Machine is a VM with every choice made.
type Machine struct {
	Address spec.Address
	ID      string // 8 hex characters
	Name    string // the guest's hostname
	Nonce   string // stands in the process's command line and proves that it is ours
	Dir     string // the instance's own directory: disks, logs, pid file
	RunDir  string // for sockets; short, mode 0700

	Arch   string // GOARCH of the guest
	CPUs   int
	Memory int    // MiB
	MAC    string // of the driver's own network, where there are no NICs
	// NICs are the machine's places in its stack's networks. With none, it has
	// the driver's own network.
	NICs []NIC
	// Isolated says that the driver's own network leads nowhere: the machine is
	// reached by its ports alone.
	Isolated bool   `json:",omitempty"`
	Stack    string // the stack's ID
	Domain   string // what the full names of the stack's machines end in

	Boot   Boot
	Ports  []Port
	Shares []Share
	// Volumes are disks of the machine's own, in the order in which the guest
	// sees them, behind the disks that it boots from.
	Volumes []Volume
	// Disc is the path of a small disk with a file system of settings, for an
	// image that takes them so; empty if there is none. The guest cannot write
	// to it, and sees it behind all others.
	Disc string `json:",omitempty"`
	// Login is who gets into the guest. Drivers have no use for it.
	Login Login `json:",omitzero"`
}

// Login says how to get into a guest that was not given lkup's settings, or
// takes only a part of them. Its zero value is root, with the machine's own keys.
type Login struct {
	User       string
	PrivateKey string // path; empty: the machine's own
	HostKey    string // a public key, as known_hosts has it; empty: the machine's own
}

// Boot says what the machine boots from: a kernel, or the first disk.
type Boot struct {
	Kernel string // path
	// Initrds are cpio archives or compressed ones that the kernel sees as
	// one, in this order.
	Initrds []string
	// Seed are initrds after these that only a start is given, for they hold
	// keys and secrets. Start keeps no copy once the machine has read them,
	// and the caller may remove them when Start returns.
	Seed    []string
	Cmdline string
	Disks   []Disk
	// Firmware is UEFI or BIOS, or empty for what the architecture usually has.
	// It counts where no kernel is given.
	Firmware string `json:",omitempty"`
}

// The firmwares: UEFI starts programs from an EFI system partition, BIOS what
// lies in a disk's first sector.
const (
	UEFI = "uefi"
	BIOS = "bios"
)

// CD is the format of a disk that is a CD: the guest gets a drive that it
// cannot write to, and the machine has no layer of its own over it.
const CD = "iso"

// Disk is a disk image that several machines may boot from. It is never
// written to: each machine writes to a layer of its own, which Create makes.
type Disk struct {
	Path   string
	Format string // raw, qcow2 or CD; never probed
}

// Port is a forward with its host port chosen. Address is never empty.
type Port struct {
	Address  string
	Host     int
	Guest    int
	Protocol string // tcp or udp
}

// Share is a host directory that the guest mounts by Tag.
type Share struct {
	Tag      string
	Host     string // absolute
	Guest    string
	ReadOnly bool
	Type     string // spec.Share9P or spec.ShareVirtiofs
	// Protect are patterns of paths below Host that the guest must not be able
	// to change, whatever it does: see package share. The guest reaches such a
	// share over a virtio serial port called Tag.
	Protect []string `json:",omitempty"`
}

// Volume is a disk that outlives the machine. Its file's directory exists.
type Volume struct {
	Name     string // the disk's serial number in the guest; at most 20 bytes
	Path     string // of the file
	Format   string // raw or qcow2
	Size     int    // MiB
	Guest    string // where it is mounted; empty if it is only a disk
	ReadOnly bool
}

// ConsoleLog is the file, below m.Dir, that every driver writes the guest's
// console to, across restarts, in full.
const ConsoleLog = "console.log"

// State is what a machine does now.
type State string

// The states of a machine.
const (
	Absent  State = "absent"  // never created, or deleted
	Stopped State = "stopped" // created; no process
	Running State = "running"
	Paused  State = "paused"
	// Unknown: a process is there that may or may not be the machine's. The
	// driver will not touch it, and Detail says why.
	Unknown State = "unknown"
)

// Status is what a driver sees of a machine.
type Status struct {
	State  State
	Detail string // for people; may be empty
	// Stalled says that it is paused because the host could not write or read
	// one of its disks; Detail says which.
	Stalled bool
	PID     int       // of the machine's process; 0 unless it runs
	Started time.Time // of that process; zero unless it runs
	// Ports are the host ports that the running machine, or its switch, really
	// holds.
	Ports []Port
	// Memory is what the running guest has of the RAM that it was started
	// with, and MemoryMax is that RAM, in MiB; 0 if unknown.
	Memory, MemoryMax int
	// Volumes are the sizes, in MiB, that the running guest sees, by
	// Volume.Name. A disk that is not attached has none.
	Volumes map[string]int
}

// StopReport says how a machine was stopped.
type StopReport struct {
	By   StopStep
	Took time.Duration
}

// StopStep is a rung of the stop ladder.
type StopStep string

// The rungs, gentlest first. Drivers without one of them skip it.
const (
	StopNone  StopStep = ""      // it was not running
	StopGuest StopStep = "guest" // the guest was asked, by SSH or an agent
	StopACPI  StopStep = "acpi"  // the power button
	StopQuit  StopStep = "quit"  // the hypervisor was told to quit
	StopTERM  StopStep = "SIGTERM"
	StopKILL  StopStep = "SIGKILL"
)

// Consoler gives a machine's console to a person.
type Consoler interface {
	// Console attaches to the running machine's console: reads what the guest
	// writes from now on, writes what the user types. One at a time: while
	// somebody is attached, and where nothing runs, it is an error. ctx bounds
	// the attaching, not what follows.
	Console(ctx context.Context, m Machine) (io.ReadWriteCloser, error)
}

// Ender says how machines end by themselves, for who starts them again.
type Ender interface {
	// Ended tells how the machine's last run ended. It asks neither the guest
	// nor its hypervisor, so that it may be called every second.
	Ended(ctx context.Context, m Machine) (Ending, error)
}

// Ending is how a machine's run ended.
type Ending string

// The endings.
const (
	NotEnded Ending = ""        // it runs, may run, or was never created
	EndedOff Ending = "off"     // the guest powered off, lkup stopped it, or it never ran
	EndedBad Ending = "crashed" // its process was killed, or failed
)

// CommandLiner shows what would be run, or was, to start a machine.
type CommandLiner interface {
	// CommandLine is quoted for a POSIX shell and reproduces the start by hand.
	CommandLine(m Machine) string
}

// Checker finds, before anything is done, what this driver cannot do.
type Checker interface {
	// Check returns one problem for each attribute of vm that this driver or
	// this host cannot satisfy.
	Check(vm spec.VM) []Problem
}

// Sharer chooses how guests have shares for which no stack file says it. What a
// driver without it has are over 9p.
type Sharer interface {
	// ShareWay gives a way, as [spec.Share.Way] has them, and the reason if
	// there is more to it than habit.
	ShareWay(s spec.Share) (way, why string)
}

// Problem is one thing that a driver cannot do.
type Problem struct {
	Attribute string // a key of vm.Origins
	Summary   string
	Hint      string // what to type
}

// Doctor looks at the host.
type Doctor interface {
	Diagnose(ctx context.Context) []Finding
}

// Finding is one line of `lkup doctor`.
type Finding struct {
	Name   string // "qemu-system-x86_64", "accelerator"
	Level  Level
	Detail string // what was found
	Hint   string // what to type to mend it; empty if nothing
}

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // works, but worse than it could
	Fail Level = "fail" // machines cannot run
)

// InOrder puts the ports that were asked for first, in the order in which they
// were.
func InOrder(ports, asked []Port) []Port {
	var all []Port
	for _, p := range asked {
		if slices.Contains(ports, p) {
			all = append(all, p)
		}
	}
	for _, p := range ports {
		if !slices.Contains(asked, p) {
			all = append(all, p)
		}
	}
	return all
}
