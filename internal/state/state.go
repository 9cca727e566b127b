// Package state is what lkup remembers of a stack between runs: decisions,
// never facts. Whether a machine runs is asked of its driver.
//
// It promises that a record is on disk before the call that made it returns,
// that a crash or a full disk leaves the last good record readable, and that
// one process at a time writes. It reads without a lock, because records are
// replaced in one step.
package state

import (
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// FormatVersion is the newest format of state.json that this package reads, and
// the one it writes.
const FormatVersion = 2

// recordFormat is the same of manifests and generations.
const recordFormat = 1

// State is everything remembered of one stack.
type State struct {
	FormatVersion int    `json:"format_version"`
	Lineage       string `json:"lineage"` // random, made with the state
	Serial        int64  `json:"serial"`  // grows with every write
	Stack         string `json:"stack"`
	StackID       string `json:"stack_id"`
	Project       string `json:"project"` // absolute directory

	Instances map[spec.Address]Instance `json:"instances,omitempty"`
	// Ports are the host ports chosen for auto ports.
	Ports   map[spec.Address][]ChosenPort `json:"ports,omitempty"`
	Outputs map[string]any                `json:"outputs,omitempty"`
	// Sensitive are the names of the outputs that no screen shows unasked.
	Sensitive []string `json:"sensitive_outputs,omitempty"`
	// Volumes outlive the instances that use them.
	Volumes map[spec.Address]Volume `json:"volumes,omitempty"`
	// Sources are what values were made from, in sets; Instance.Sources names one.
	Sources map[string]map[string]spec.Fingerprint `json:"sources,omitempty"`
}

// Volume is a disk that exists, or is about to. The same record lies in the
// volume's own directory as manifest.json.
type Volume struct {
	FormatVersion int          `json:"format_version"`
	Address       spec.Address `json:"address"`
	ID            string       `json:"id"` // 8 hex characters
	Stack         string       `json:"stack"`
	Project       string       `json:"project"`
	Lineage       string       `json:"lineage,omitempty"` // the state's
	Name          string       `json:"name"`
	Format        string       `json:"format"` // raw or qcow2
	CreatedAt     time.Time    `json:"created_at"`
}

// File is the name of the volume's disk in its directory.
func (v Volume) File() string { return "disk." + v.Format }

// ChosenPort is a host port that lkup chose.
type ChosenPort struct {
	Guest    int    `json:"guest"`
	Protocol string `json:"protocol"`
	Host     int    `json:"host"`
}

// Instance is a VM that exists, or is about to. The same record lies in the
// instance's own directory as manifest.json.
type Instance struct {
	FormatVersion int            `json:"format_version"`
	Address       spec.Address   `json:"address"`
	ID            string         `json:"id"`    // 8 hex characters
	Nonce         string         `json:"nonce"` // in the process's command line
	Stack         string         `json:"stack"`
	Project       string         `json:"project"`
	Lineage       string         `json:"lineage,omitempty"` // the state's
	Applied       spec.VM        `json:"applied"`
	Image         spec.Image     `json:"image"`
	Digest        sources.Digest `json:"digest"`
	Recipe        string         `json:"recipe,omitempty"` // the part of Digest that the user decides
	Driver        string         `json:"driver"`
	Arch          string         `json:"arch"`
	MAC           string         `json:"mac"`
	SSHPort       int            `json:"ssh_port,omitempty"` // on 127.0.0.1, to guest port 22
	Boot          drivers.Boot   `json:"boot"`
	Guest         bool           `json:"guest"` // lkup's init runs in it
	// Volumes are the volumes of Applied.Mounts.
	Volumes map[spec.Address]Volume `json:"volumes,omitempty"`
	// Sources names a set of State.Sources: what the values were made from
	// that were applied.
	Sources string `json:"sources,omitempty"`
	// Manifest is the SHA-256 of the manifest as lkup wrote it, in hex. It
	// stands only in the state.
	Manifest string `json:"manifest_sha256,omitempty"`
	// ManifestSize and ManifestTime, in bytes and nanoseconds since 1970, spare
	// reading a manifest that nobody touched. They too stand only in the state.
	ManifestSize int64 `json:"manifest_size,omitempty"`
	ManifestTime int64 `json:"manifest_mtime,omitempty"`
	// Exit is how the last run of a task ended; nil while that is not known.
	Exit *Exit `json:"exit,omitempty"`
	// Halted says that a person stopped or paused it: it is not started again by
	// itself, until it is started or resumed in one way or another.
	Halted bool `json:"halted,omitempty"`
	// Created says that the driver finished creating it.
	Created bool `json:"created"`
	// Proven names the process that was seen ready; zero if none was.
	Proven    Process   `json:"proven"`
	CreatedAt time.Time `json:"created_at"`
	AppliedAt time.Time `json:"applied_at"`
}

// Enterable reports whether lkup gets into the guest by SSH: with its own keys,
// which its init or cloud-init takes, or with those that the user names.
func (i Instance) Enterable() bool {
	return i.Guest || i.Applied.Seed.Cloud() || i.Applied.SSH.User != ""
}

// Exit is how a task ended.
type Exit struct {
	Status int       `json:"status"`
	At     time.Time `json:"at"`
}

// Process identifies a run of a machine.
type Process struct {
	PID     int       `json:"pid,omitempty"`
	Started time.Time `json:"started,omitzero"`
}
