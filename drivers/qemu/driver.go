// Package qemu runs machines with QEMU: a process each, that outlives lkup. It
// promises that a machine has at most one process, because that process holds
// a lock that a second one cannot get, and that it signals no process but one
// proven to be the machine's. It runs no shell and reads no environment.
package qemu

import (
	"os/exec"
	"runtime"
	"sync/atomic"

	"al.essio.dev/pkg/shellescape"

	"github.com/lkup/lkup/drivers"
)

// Settings change how QEMU is found and run. The zero value is right for users.
type Settings struct {
	// LookPath finds programs; nil is exec.LookPath.
	LookPath func(name string) (string, error)
	// Accel forces an accelerator - kvm, hvf or tcg; empty is the best that works.
	Accel string
	// Env is QEMU's whole environment. It needs none.
	Env []string
	// Switch carries machines' networks. Without one, only machines that are in
	// none can be started.
	Switch drivers.Switch
	// FileServer is the command that serves shares with protected paths: see
	// [share.Decode], whose word is added. Its connections are its files from
	// descriptor 3 on. Without one, no such share can be started.
	FileServer []string
}

// Driver implements drivers.Driver and every ability.
type Driver struct {
	settings Settings
	// unfiltered says that this host's QEMU was found to have no seccomp filters.
	unfiltered atomic.Bool
}

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.Consoler     = (*Driver)(nil)
	_ drivers.CommandLiner = (*Driver)(nil)
	_ drivers.Checker      = (*Driver)(nil)
	_ drivers.Doctor       = (*Driver)(nil)
	_ drivers.Sharer       = (*Driver)(nil)

	_ drivers.PortForwarder = (*Driver)(nil)
	_ drivers.Ballooner     = (*Driver)(nil)
	_ drivers.VolumeGrower  = (*Driver)(nil)
	_ drivers.Rewirer       = (*Driver)(nil)
	_ drivers.Pauser        = (*Driver)(nil)
	_ drivers.Suspender     = (*Driver)(nil)
	_ drivers.Snapshotter   = (*Driver)(nil)
)

// New makes a driver. It looks at nothing yet.
func New(s Settings) *Driver {
	if s.LookPath == nil {
		s.LookPath = exec.LookPath
	}
	return &Driver{settings: s}
}

// host gathers what the arguments depend on besides the machine.
func (d *Driver) host(m drivers.Machine) host {
	h := host{arch: runtime.GOARCH, accel: d.settings.Accel, sandbox: runtime.GOOS == "linux" && !d.unfiltered.Load()}
	if h.accel == "" {
		h.accel, _ = accelerator(look(m.Arch))
	}
	if needsFirmware(m) {
		h.firmware, _ = firmware(m.Arch)
	}
	return h
}

// CommandLine is what Start runs, with paths for the sockets that Start passes
// as descriptors and without the seed, which is gone by then. By hand it works
// once Start has joined the initrds.
func (d *Driver) CommandLine(m drivers.Machine) string {
	return shellescape.QuoteCommand(append([]string{binaryFor(m.Arch)}, args(m, d.host(m))...))
}
