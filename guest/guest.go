// Package guest is what host and guest agree on: the settings that lkup gives
// a VM at start, and the lines by which its init tells how far it has come.
// The program itself is lkup-init, in a folder of its own, which runs as
// process 1.
//
// Settings reach the guest as a file in a cpio archive behind the shared
// initrd. They hold the VM's keys, so the archive is private to the VM.
package guest

import (
	"fmt"
	"strconv"
	"strings"
)

// ConfigPath is where the settings lie in the guest's root, as JSON.
const ConfigPath = "/lkup/config.json"

// RootDiskPath is a file in an initrd that has init do no more than load
// drivers and start the init of the disk that the kernel's command line names
// with root=.
const RootDiskPath = "/lkup/root-disk"

// FormatVersion is the settings' format. An init refuses a newer one.
const FormatVersion = 1

// Config is a VM's settings.
type Config struct {
	FormatVersion  int               `json:"format_version"`
	Hostname       string            `json:"hostname"`
	HostKey        string            `json:"host_key"`        // private, OpenSSH PEM
	AuthorizedKeys []string          `json:"authorized_keys"` // lines as in authorized_keys
	Env            map[string]string `json:"env,omitempty"`   // for services, exec and shells
	Interfaces     []Interface       `json:"interfaces,omitempty"`
	Hosts          map[string]string `json:"hosts,omitempty"` // name -> address, for /etc/hosts
	DNS            []string          `json:"dns,omitempty"`
	Search         []string          `json:"search,omitempty"` // domains of names without dots
	Shares         []Share           `json:"shares,omitempty"`
	Volumes        []Volume          `json:"volumes,omitempty"`
	// Task says that the machine is to end once its services have ended, and
	// Command, if any, with them. It then tells its exit status: see [Exit].
	Task    bool     `json:"task,omitempty"`
	Command []string `json:"command,omitempty"`
	// Time is the host's clock when the settings were written, in Unix
	// seconds; used only where the guest has no working RTC.
	Time int64 `json:"time,omitempty"`
}

// Interface is a network interface with a fixed address.
type Interface struct {
	MAC     string `json:"mac"`
	Address string `json:"address"`           // CIDR: 10.0.2.15/24
	Gateway string `json:"gateway,omitempty"` // IPv4
	// Address6 is an IPv6 address besides, as CIDR.
	Address6 string `json:"address6,omitempty"`
}

// Share is a share to mount, over 9p unless it says otherwise.
type Share struct {
	Tag      string `json:"tag"`
	Path     string `json:"path"` // absolute, in the guest
	ReadOnly bool   `json:"read_only,omitempty"`
	// Serial says that it is served over the virtio serial port called Tag, in
	// the place of a 9p device.
	Serial   bool `json:"serial,omitempty"`
	Virtiofs bool `json:"virtiofs,omitempty"`
	// Copy says that there is nothing to mount: the host copies files there.
	Copy bool `json:"copy,omitempty"`
}

// Volume is a disk with an ext4 file system to mount. It is found by its serial
// number, which is its name.
type Volume struct {
	Name     string `json:"name"`
	Path     string `json:"path"` // absolute, in the guest
	ReadOnly bool   `json:"read_only,omitempty"`
}

// SharesAnnotation is the annotation by which a container asks for the VM's
// shares and volumes; [AllShares] is its value.
const (
	SharesAnnotation = "lkup.shares"
	AllShares        = "all"
)

// Stage is how far a guest has come.
type Stage string

// The stages that init announces, in order.
const (
	StageInit    Stage = "init"    // process 1 runs
	StageNetwork Stage = "network" // interfaces are up
	StageSSH     Stage = "ssh"     // the SSH server listens
	StageVolumes Stage = "volumes" // they are mounted, and so are shares; not announced without any
	StageUp      Stage = "up"      // onboot has run and all services are started
)

const marker = "lkup-init: stage "

// Marker is the console line that announces a stage.
func Marker(s Stage) string { return fmt.Sprintf("%s%s", marker, s) }

// ParseMarker reads a console line. The guest wrote it, so it may lie: it is
// good for showing progress and for knowing when to try, never as proof.
func ParseMarker(line string) (Stage, bool) {
	_, rest, found := strings.Cut(line, marker)
	switch s := Stage(strings.TrimSpace(rest)); s {
	case StageInit, StageNetwork, StageSSH, StageVolumes, StageUp:
		return s, found
	default:
		return "", false
	}
}

// Ending is the console line that tells that the guest stops its services, to
// power off or to start anew. Where it begins counts: what services write never
// stands at the beginning of a line.
const Ending = "lkup-init: ending"

const failure = "lkup-init: cannot run "

// Failure is the console line that tells that a service does not run: it could
// not be started, which is another thing than to have ended.
func Failure(service, reason string) string {
	return failure + service + ": " + strings.Join(strings.Fields(reason), " ")
}

// ParseFailure reads a console line as ParseMarker does.
func ParseFailure(line string) (service, reason string, failed bool) {
	_, rest, found := strings.Cut(line, failure)
	service, reason, named := strings.Cut(rest, ": ")
	return service, strings.TrimSpace(reason), found && named
}

const unmounted = "lkup-init: cannot mount "

// What there is to be mounted, for [Unmounted].
const (
	VolumeNamed = "volume " // and its name
	ShareAt     = "share "  // and its place in the guest
)

// Unmounted is the console line that tells that a volume or a share is not where
// the settings want it.
func Unmounted(what, reason string) string {
	return unmounted + what + ": " + strings.Join(strings.Fields(reason), " ")
}

// ParseUnmounted reads a console line as ParseMarker does.
func ParseUnmounted(line string) (what, reason string, failed bool) {
	_, rest, found := strings.Cut(line, unmounted)
	what, reason, named := strings.Cut(rest, ": ")
	known := strings.HasPrefix(what, VolumeNamed) || strings.HasPrefix(what, ShareAt)
	return what, strings.TrimSpace(reason), found && named && known
}

// WakeSubsystem is the SSH subsystem by which the host tells a guest that its
// memory was restored. The client sends a [Wake] as JSON.
const WakeSubsystem = "lkup-wake"

// Wake is what a guest cannot know that goes on where it was saved.
type Wake struct {
	Time     int64  `json:"time"`     // the host's clock, in nanoseconds since 1970
	Entropy  []byte `json:"entropy"`  // never given before
	Hostname string `json:"hostname"` // as it shall be called from now on
}

const exit = "lkup-init: exit status "

// Exit is the console line that tells how a task ended. Where it begins counts:
// what services write never stands at the beginning of a line.
func Exit(status int) string { return exit + strconv.Itoa(status) }

// ParseExit reads a console line, which must be nothing else.
func ParseExit(line string) (status int, told bool) {
	number, found := strings.CutPrefix(line, exit)
	status, err := strconv.Atoi(number)
	return status, found && err == nil && status >= 0 && status <= 255
}
