// Package hyperkit runs machines with Hyperkit, the hypervisor of Intel Macs.
// A machine is two processes that outlive lkup: Hyperkit, and a keeper beside
// it, which is lkup itself. The keeper writes the console's log, lets people
// attach to the console, and carries the machine's frames, by vpnkit's
// protocol, to a switch that forwards the host's ports. It ends with Hyperkit.
//
// The package promises that a machine has at most one Hyperkit, because that
// holds a lock that a second one cannot get, and that it signals no process but
// one proven to be the machine's. It runs no shell and reads no environment.
package hyperkit

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"al.essio.dev/pkg/shellescape"

	"github.com/lkup/lkup/drivers"
)

// Settings change how Hyperkit is found and run.
type Settings struct {
	// LookPath finds programs; nil is exec.LookPath.
	LookPath func(name string) (string, error)
	// Keeper is the command that runs [Keep]: a program with its first words.
	Keeper []string
	// Firmware is UEFI's file, for machines without a kernel; empty looks where
	// Docker puts it.
	Firmware string
	// Env is the whole environment of the keeper and of Hyperkit.
	Env []string
	// Switch carries machines that are in networks of their stack; without it,
	// they cannot be started.
	Switch drivers.Switch
	// AnyHost says that what is run as Hyperkit runs on this host, whatever
	// that is; tests have such a program.
	AnyHost bool
}

// here reports whether Hyperkit can run on this host.
func (d *Driver) here() bool {
	return d.settings.AnyHost || runtime.GOOS == "darwin" && runtime.GOARCH == "amd64"
}

// Driver implements drivers.Driver.
type Driver struct{ settings Settings }

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.Consoler     = (*Driver)(nil)
	_ drivers.CommandLiner = (*Driver)(nil)
	_ drivers.Checker      = (*Driver)(nil)
	_ drivers.Doctor       = (*Driver)(nil)
	_ drivers.Ender        = (*Driver)(nil)
	_ drivers.Rewirer      = (*Driver)(nil)
)

// New makes a driver. It looks at nothing yet.
func New(s Settings) *Driver {
	if s.LookPath == nil {
		s.LookPath = exec.LookPath
	}
	return &Driver{settings: s}
}

// programs are where Hyperkit is installed, the first one first.
func programs() []string {
	return []string{
		"hyperkit", "com.docker.hyperkit",
		"/Applications/Docker.app/Contents/Resources/bin/com.docker.hyperkit",
		"/Applications/Docker.app/Contents/MacOS/com.docker.hyperkit",
	}
}

const installHint = "brew install hyperkit"

// program finds Hyperkit, or says how to install it.
func (d *Driver) program() (string, error) {
	for _, name := range programs() {
		if path, err := d.settings.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("hyperkit is not installed; type: %s, or write driver = \"qemu\"", installHint)
}

// Chosen reports whether driver = "auto" means Hyperkit on such a host: where
// it is installed on an Intel Mac. lookPath is as in [Settings].
func Chosen(goos, goarch string, lookPath func(string) (string, error)) bool {
	if goos != "darwin" || goarch != "amd64" {
		return false
	}
	_, err := New(Settings{LookPath: lookPath}).program()
	return err == nil
}

// firmware finds UEFI.
func (d *Driver) firmware() (string, error) {
	for _, path := range []string{d.settings.Firmware, "/Applications/Docker.app/Contents/Resources/uefi/UEFI.fd", "/usr/local/share/hyperkit/UEFI.fd"} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no UEFI firmware is installed, which Hyperkit boots disks by; Docker Desktop brings it, or write driver = \"qemu\"")
}

// CommandLine is what the keeper runs, in the machine's directory.
func (d *Driver) CommandLine(m drivers.Machine) string {
	return "cd " + shellescape.QuoteCommand([]string{m.Dir}) + " && " + shellescape.QuoteCommand(append([]string{programs()[0]}, args(m, wiringOf(m))...))
}

// uuid is the machine's, always the same.
func uuid(m drivers.Machine) string {
	sum := sha256.Sum256([]byte(mark(m)))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
