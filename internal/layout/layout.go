// Package layout computes every path that lkup uses on the host, once, from
// the environment it is given. It touches no disk.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// Layout is where lkup keeps things on this host.
type Layout struct {
	State   string // what must not be lost: stacks, volumes
	Cache   string // what can be fetched or built again
	Runtime string // sockets; gone after a reboot
	Config  string // the user's settings
}

// New reads LKUP_STATE_DIR, LKUP_CACHE_DIR and LKUP_RUNTIME_DIR, else the XDG
// variables, else their defaults below home. getenv is os.Getenv.
func New(getenv func(string) string, home, tempDir string, uid int) Layout {
	pick := func(own, xdg, fallback string) string {
		if v := getenv(own); v != "" {
			return v
		}
		if v := getenv(xdg); v != "" && filepath.IsAbs(v) {
			return filepath.Join(v, "lkup")
		}
		return fallback
	}
	return Layout{
		State:   pick("LKUP_STATE_DIR", "XDG_STATE_HOME", filepath.Join(home, ".local", "state", "lkup")),
		Cache:   pick("LKUP_CACHE_DIR", "XDG_CACHE_HOME", filepath.Join(home, ".cache", "lkup")),
		Runtime: pick("LKUP_RUNTIME_DIR", "XDG_RUNTIME_DIR", filepath.Join(tempDir, "lkup-"+strconv.Itoa(uid))),
		Config:  pick("LKUP_CONFIG_DIR", "XDG_CONFIG_HOME", filepath.Join(home, ".config", "lkup")),
	}
}

// Stack is where one stack keeps things.
type Stack struct {
	ID   string // <name>-<hash of the project's directory>
	Name string
	Dir  string // below State
	Run  string // below Runtime; short, because socket paths end at 104 bytes
}

// Stack gives the paths of a stack. project is the absolute, symlink-free path
// of its directory.
func (l Layout) Stack(name, project string) Stack {
	return l.StackOf(name + "-" + hashOf(project))
}

func hashOf(project string) string {
	sum := sha256.Sum256([]byte(project))
	return hex.EncodeToString(sum[:hashLength/2])
}

// Of reports whether it is a stack of a project's directory. There are several
// if the stack files were given another name.
func (s Stack) Of(project string) bool { return strings.HasSuffix(s.ID, "-"+hashOf(project)) }

// hashLength is how much of an ID tells the project's directory.
const hashLength = 8

// StackOf gives the paths of a stack by its ID, as Stack made it.
func (l Layout) StackOf(id string) Stack {
	name := max(0, len(id)-hashLength)
	return Stack{
		ID:   id,
		Name: id[:max(0, name-1)],
		Dir:  filepath.Join(l.State, "stacks", id),
		Run:  filepath.Join(l.Runtime, id[name:]),
	}
}

// Runs is the folder that holds the project of each machine that lkup run made,
// while it lasts.
func (l Layout) Runs() string { return filepath.Join(l.State, "runs") }

// Stacks is the folder that holds one folder per stack.
func (l Layout) Stacks() string { return filepath.Join(l.State, "stacks") }

// StateFile, Journal and Lock are the stack's records.
func (s Stack) StateFile() string { return filepath.Join(s.Dir, "state.json") }

// Journal is the list of effects under way.
func (s Stack) Journal() string { return filepath.Join(s.Dir, "journal.jsonl") }

// Events is what happened in the stack, and OldEvents what happened before.
func (s Stack) Events() string { return filepath.Join(s.Dir, "events.jsonl") }

// OldEvents is the file that Events becomes when it is full.
func (s Stack) OldEvents() string { return filepath.Join(s.Dir, "events-old.jsonl") }

// Lock is the file that is locked, and never renamed.
func (s Stack) Lock() string { return filepath.Join(s.Dir, "lock") }

// SupervisorLock is held by the process that starts machines again. It lies
// among the sockets: it means nothing after a reboot.
func (s Stack) SupervisorLock() string { return filepath.Join(s.Run, "supervisor.lock") }

// Health is what that process found of the machines' health. It lies among the
// sockets too.
func (s Stack) Health() string { return filepath.Join(s.Run, "health.json") }

// SwitchSocket is where the switch of the stack's networks is told what to do,
// SwitchLock is held by its process, and SwitchLog is what that had to say.
func (s Stack) SwitchSocket() string { return filepath.Join(s.Run, "switch") }

// SwitchLock lies among the sockets, as SupervisorLock does.
func (s Stack) SwitchLock() string { return filepath.Join(s.Run, "switch.lock") }

// SwitchLog lies beside the stack's state.
func (s Stack) SwitchLog() string { return filepath.Join(s.Dir, "switch.log") }

// SupervisorLog is what that process did.
func (s Stack) SupervisorLog() string { return filepath.Join(s.Dir, "supervisor.log") }

// Docker is where the socket of an instance's Docker Engine is on this host, by
// the instance's address, which it keeps when the machine is made anew. What
// became of its containers' ports stands in DockerPorts.
func (s Stack) Docker(address string) string {
	return filepath.Join(s.Run, hashOf(address)+".docker")
}

// DockerPorts lies among the sockets, as Health does.
func (s Stack) DockerPorts(address string) string { return s.Docker(address) + ".json" }

// AgentLog is what an agent of a devenv asked for.
func (s Stack) AgentLog(agent string) string {
	return filepath.Join(s.Dir, "agent-"+url.PathEscape(agent)+".jsonl")
}

// Review is where the copy of a project lies that an agent works on.
func (s Stack) Review(agent string) string {
	return filepath.Join(s.Dir, "reviews", url.PathEscape(agent))
}

// Instances is the folder that holds one folder per instance.
func (s Stack) Instances() string { return below(s.Dir, "instances") }

// Instance is the directory of one instance.
func (s Stack) Instance(id string) string { return below(s.Instances(), id) }

// Manifest describes an instance from within its own directory.
func (s Stack) Manifest(id string) string { return below(s.Instance(id), "manifest.json") }

// Backups is where copies of the state lie that lkup state made.
func (s Stack) Backups() string { return filepath.Join(s.Dir, "backups") }

// Generations is where what the stack was after each apply lies.
func (s Stack) Generations() string { return filepath.Join(s.Dir, "generations") }

// Volumes is the folder that holds one folder per volume.
func (s Stack) Volumes() string { return filepath.Join(s.Dir, "volumes") }

// Volume is the directory of one volume.
func (s Stack) Volume(id string) string { return filepath.Join(s.Volumes(), id) }

// Checkpoints is the folder that holds one folder per checkpoint of the stack.
func (s Stack) Checkpoints() string { return filepath.Join(s.Dir, "checkpoints") }

// Snapshots is the folder that holds one folder per snapshot of one machine.
// The address is made a file's name; without one, it is the folder of all.
func (s Stack) Snapshots(address string) string {
	return filepath.Join(s.Dir, "snapshots", url.PathEscape(address))
}

// Snapshotted is the address of the machine whose snapshots a folder of that
// name holds.
func Snapshotted(folder string) (address string, ok bool) {
	address, err := url.PathUnescape(folder)
	return address, err == nil && address != ""
}

// Restoring describes a restoring that has begun and must be finished.
func (s Stack) Restoring() string { return filepath.Join(s.Dir, "restoring.json") }

// Copies is where copies lie that a restoring will put in their places.
func (s Stack) Copies() string { return filepath.Join(s.Dir, "restoring") }

// RunDir is where an instance's sockets lie.
func (s Stack) RunDir(id string) string { return below(s.Run, id) }

// below is filepath.Join of what is clean already: a plan asks for some paths of
// each of a thousand machines.
func below(dir, name string) string { return dir + string(filepath.Separator) + name }
