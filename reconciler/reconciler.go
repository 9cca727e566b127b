// Package reconciler turns plans into running machines. Observe reads the
// world into an inventory, Apply executes a plan. It decides nothing: what to
// do stands in the plan, how a machine is run in the driver, how a value looks
// in the views that receive its events.
package reconciler

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Reconciler executes plans for one stack. Its fields are set once, before use.
type Reconciler struct {
	Drivers map[string]drivers.Driver
	Images  Images // may be nil if nothing is to be started
	Access  Access // may be nil if no image runs lkup's init
	Disks   Disks  // may be nil if no disk is imported or formatted
	Store   *state.Store
	Layout  layout.Stack
	Project string // absolute; shares are relative to it
	Arch    string // GOARCH of the guests
	// AutoPorts are the host ports to choose from, as 20000-20999; empty
	// leaves the choice to the operating system.
	AutoPorts string
	// Elsewhere, if set, gives host ports that must not be chosen though they
	// may be free now: those of this host's other stacks.
	Elsewhere func() []int
	Now       func() time.Time
	Rand      io.Reader
	// Emit receives events; it is called from several goroutines at once. It may be nil.
	Emit func(Event)
	// Parallelism is how many machines are worked on at once; 0 means 8.
	Parallelism int
	// Grace, if set, is how long guests have to power off, whatever the machines
	// say.
	Grace *time.Duration
}

// tell lets those who follow the stack know what was done.
func (r *Reconciler) tell(i state.Instance, kind string, begun time.Time, err error) {
	now := r.Now()
	h := state.Happening{Time: now.UTC(), Address: i.Address, ID: i.ID, Kind: kind, Took: now.Sub(begun)}
	if err != nil {
		h.Error = err.Error()
	}
	state.Tell(r.Layout, h)
}

// grace is how long a guest has to power off.
func (r *Reconciler) grace(vm spec.VM) time.Duration {
	if r.Grace != nil {
		return *r.Grace
	}
	return vm.Grace()
}

// Images brings artifacts here.
type Images interface {
	Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error)
}

// Disks copies disks that users bring, and formats volumes.
type Disks interface {
	// Format makes the disk of a volume with an empty file system, named by id.
	// It leaves a disk alone that holds a file system, and refuses one that
	// holds anything else.
	Format(ctx context.Context, v drivers.Volume, id string) error
	// Copy makes a copy of a disk, which must be of that format and refer to no
	// other file.
	Copy(ctx context.Context, from, to, format string) error
	// Fits is the size of a disk that somebody brings, in MiB.
	Fits(ctx context.Context, path string) (int, error)
	// Clone makes a copy of a file as it is, which is on the host's disk when
	// it returns.
	Clone(ctx context.Context, from, to string) error
}

// Access is how lkup gets into guests. An implementation makes keys on the
// host, puts them into the guest's settings, and trusts nothing else.
type Access interface {
	// Prepare writes the VM's keys and settings below m.Dir and returns what
	// must follow the image's initrds. It is called before every start.
	Prepare(ctx context.Context, m drivers.Machine, vm spec.VM) (initrds []string, err error)
	// Dial opens one connection to the guest's SSH server, checks its host key,
	// and gives up when ctx ends. It tries once.
	Dial(ctx context.Context, m drivers.Machine) (Guest, error)
	// Files names the files of Prepare in m.Dir by which a guest is reached.
	Files() []string
}

// Waker is a [Guest] that can be told that its memory was restored.
type Waker interface {
	Wake(ctx context.Context, w guest.Wake) error
	// WakeByShell tells a guest that is not lkup's.
	WakeByShell(ctx context.Context, w guest.Wake) error
}

// Mirrorer is a [Guest] that takes copies of directories.
type Mirrorer interface {
	// Mirror brings a directory of the guest what has changed in one of the
	// host since the last time, deletions too. What else is there stays.
	Mirror(ctx context.Context, from, to string) (Mirrored, error)
}

// Mirrored is what a mirroring changed in the guest.
type Mirrored struct {
	Sent    int // files and links
	Deleted int
	Bytes   int64
	LeftOut []string // what no guest can have, and why: sockets, devices
}

// Changed reports whether it changed anything.
func (m Mirrored) Changed() bool { return m.Sent+m.Deleted > 0 }

func (m Mirrored) String() string { return fmt.Sprintf("%d copied, %d deleted", m.Sent, m.Deleted) }

// Guest is an open connection into a guest. It is safe for concurrent use.
type Guest interface {
	// Run runs a command and returns its exit status and its combined output,
	// at most 64 KiB of it.
	Run(ctx context.Context, command []string) (status int, output []byte, err error)
	// DialTCP connects to an address as seen by the guest.
	DialTCP(ctx context.Context, address string) (io.ReadWriteCloser, error)
	Close() error
}

// Event is one fact during Apply. The receiver is called from several
// goroutines at once.
type Event struct {
	Time    time.Time
	Address spec.Address // empty for facts about the whole plan
	Kind    EventKind
	Stage   Stage             // for StageReached
	Op      string            // for OpStarted, OpDone, OpFailed, OpSkipped: "create", "start", "stop", "delete", ...
	Took    time.Duration     // for OpDone and StageReached: since the op started
	Detail  string            // for people
	Report  *sources.Progress // for Downloading
	Stop    drivers.StopReport
	Err     error
}

// EventKind tells events apart.
type EventKind string

// The kinds of event.
const (
	OpStarted    EventKind = "started"
	StageReached EventKind = "stage"
	OpDone       EventKind = "done"
	OpFailed     EventKind = "failed"
	OpSkipped    EventKind = "skipped" // because something it depends on failed, or on Ctrl-C
	Downloading  EventKind = "progress"
	Warning      EventKind = "warning"
	Synced       EventKind = "synced" // copies of shared files were brought to a guest
)

// Stage is how far a machine has come on its way to ready.
type Stage string

// The stages, in order. A guest without lkup's init skips some.
const (
	StageImage   Stage = "image" // the artifact is here
	StageProcess Stage = "process"
	StageKernel  Stage = "kernel"
	StageInit    Stage = "init"
	StageNetwork Stage = "network"
	StageSSH     Stage = "ssh"
	StageReady   Stage = "ready"
	// StageChanged is a machine's that was changed while it ran.
	StageChanged Stage = "changed"
)
