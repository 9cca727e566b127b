package drivers

import "context"

// Ability is something that a driver can change in a running machine, without
// its guest's restart. The plan asks for it by name, so that it can say
// beforehand what a change costs.
type Ability string

// The abilities.
const (
	LivePorts   Ability = "ports"   // see PortForwarder
	LiveMemory  Ability = "memory"  // see Ballooner
	LiveVolumes Ability = "volumes" // see VolumeGrower
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
	return all
}
