package drivers

import "context"

// Ability is something that a driver can change in a running machine, without
// its guest's restart. The plan asks for it by name, so that it can say
// beforehand what a change costs.
type Ability string

// The abilities.
const (
	LivePorts   Ability = "ports"     // see PortForwarder
	LiveMemory  Ability = "memory"    // see Ballooner
	LiveVolumes Ability = "volumes"   // see VolumeGrower
	LivePause   Ability = "pause"     // see Pauser
	LiveSuspend Ability = "suspend"   // see Suspender
	Snapshots   Ability = "snapshots" // see Snapshotter
)

// PortForwarder changes the forwards of a running machine.
type PortForwarder interface {
	// Forward makes the running machine forward exactly m.Ports: it takes away
	// the others first. It may be repeated. A port that somebody else holds is
	// an error that names the holder; the other ports are then as m says.
	Forward(ctx context.Context, m Machine) error
}

// Ballooner changes how much of its RAM a running machine's guest has.
type Ballooner interface {
	// Balloon gives the guest m.Memory, which is at most what it was started
	// with, and waits until the guest has given back the rest. It may be
	// repeated.
	Balloon(ctx context.Context, m Machine) error
}

// VolumeGrower makes disks of a running machine larger.
type VolumeGrower interface {
	// Grow makes each attached volume as large as m says. It makes none
	// smaller. It may be repeated.
	Grow(ctx context.Context, m Machine) error
}

// Pauser holds running machines still.
type Pauser interface {
	// Pause stops the guest where it is. Once it returns, the machine's disks
	// hold all that the guest has written to them. It may be repeated, and is
	// an error for a machine that does not run.
	Pause(ctx context.Context, m Machine) error
	// Resume lets a paused machine go on, and is success for one that runs. A
	// machine that a full disk of the host has paused is soon paused again if
	// the disk is still full: only its Status tells.
	Resume(ctx context.Context, m Machine) error
}

// Snapshotter keeps its machines' own disks in files that may be copied.
type Snapshotter interface {
	// Files names the files in m.Dir that make up a machine which is stopped or
	// paused. Copies of them, put in their places while it is stopped, make it
	// what it was, also after Delete. One that is not there is no part of it.
	Files(m Machine) []string
}

// Suspender keeps what machines have in memory. Disks are the caller's affair:
// they must be to Restore what they were to Save.
type Suspender interface {
	// Savable says why the memory of a machine that runs, or is paused, cannot
	// be saved now, in a clause for people; it is empty if it can.
	Savable(ctx context.Context, m Machine) (problem string, err error)
	// Save writes what a paused machine has in memory to a new private file.
	// The machine stays paused, and may be resumed.
	Save(ctx context.Context, m Machine, path string) error
	// Restore starts a stopped machine with what Save wrote of it, and leaves
	// it paused. m is what it was, but for its ports; m.Memory is what it was
	// started with. If it fails, nothing runs.
	Restore(ctx context.Context, m Machine, path string) error
}

// Abilities lists what d can change in a running machine.
func Abilities(d Driver) []Ability {
	var all []Ability
	if _, able := d.(PortForwarder); able {
		all = append(all, LivePorts)
	}
	if _, able := d.(Ballooner); able {
		all = append(all, LiveMemory)
	}
	if _, able := d.(VolumeGrower); able {
		all = append(all, LiveVolumes)
	}
	if _, able := d.(Rewirer); able {
		all = append(all, LiveNetworks)
	}
	if _, able := d.(Pauser); able {
		all = append(all, LivePause)
	}
	if _, able := d.(Suspender); able {
		all = append(all, LiveSuspend)
	}
	if _, able := d.(Snapshotter); able {
		all = append(all, Snapshots)
	}
	return all
}
