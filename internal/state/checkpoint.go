package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/spec"
)

// Checkpoint is what a stack, or one machine of it, was at one moment: copies
// of disks, and of memory where that could be had. Its record lies beside the
// copies, and is written last.
type Checkpoint struct {
	FormatVersion int          `json:"format_version"`
	Name          string       `json:"name"`
	Of            spec.Address `json:"of,omitempty"` // the machine of a snapshot; empty: the whole stack
	CreatedAt     time.Time    `json:"created_at"`
	Version       string       `json:"lkup_version"`

	Machines map[spec.Address]SavedMachine `json:"machines,omitempty"`
	Volumes  map[spec.Address]SavedVolume  `json:"volumes,omitempty"`
}

// SavedMachine is one machine of a checkpoint. Its files lie in a folder that is
// called as its ID.
type SavedMachine struct {
	Instance Instance `json:"instance"`
	// Running says that it ran, and so runs again once it is restored.
	Running bool `json:"running,omitempty"`
	// Memory says that what it had in memory is here, and RAM how much it was
	// started with, in MiB.
	Memory bool `json:"memory,omitempty"`
	RAM    int  `json:"ram,omitempty"`
	// Why says, for people, why a running machine's memory is not here.
	Why string `json:"why,omitempty"`
	// Files are the names of its own files that are here.
	Files []string `json:"files,omitempty"`
}

// SavedVolume is one volume of a checkpoint. Its disk lies in a folder that is
// called as its ID.
type SavedVolume struct {
	Volume Volume `json:"volume"`
	Size   int    `json:"size"` // MiB
}

// MemoryFile is the name of what a machine had in memory, in its folder.
const MemoryFile = "memory"

// manifestName is what records of machines, volumes and checkpoints are called.
const manifestName = "manifest.json"

// CheckpointDir is where a checkpoint, or a snapshot of a machine, lies.
func CheckpointDir(paths layout.Stack, of spec.Address, name string) string {
	return filepath.Join(checkpoints(paths, of), name)
}

func checkpoints(paths layout.Stack, of spec.Address) string {
	if of == "" {
		return paths.Checkpoints()
	}
	return paths.Snapshots(string(of))
}

// CheckName says what is wrong with a checkpoint's name, which is also that of
// a folder.
func CheckName(name string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
	}
	if name == "" || len(name) > 64 || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.HasSuffix(name, part) ||
		strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("%q is no name for a checkpoint; use letters, digits, '-', '_' and '.', at most 64, such as before-upgrade", name)
	}
	return nil
}

// part ends the name of a checkpoint that is not whole.
const part = ".part"

// Checkpoints lists the checkpoints of a stack, or the snapshots of a machine,
// the oldest first. What is not whole is passed over.
func Checkpoints(paths layout.Stack, of spec.Address) ([]Checkpoint, error) {
	dirs, err := os.ReadDir(checkpoints(paths, of))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Checkpoint
	for _, dir := range dirs {
		if CheckName(dir.Name()) != nil {
			continue
		}
		c, err := ReadCheckpoint(paths, of, dir.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b Checkpoint) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all, nil
}

// Snapshotted lists the machines of a stack that have snapshots.
func Snapshotted(paths layout.Stack) ([]spec.Address, error) {
	dirs, err := os.ReadDir(paths.Snapshots(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []spec.Address
	for _, dir := range dirs {
		if address, ok := layout.Snapshotted(dir.Name()); ok {
			all = append(all, spec.Address(address))
		}
	}
	return all, err
}

// ReadCheckpoint reads the record of one.
func ReadCheckpoint(paths layout.Stack, of spec.Address, name string) (Checkpoint, error) {
	if err := CheckName(name); err != nil {
		return Checkpoint{}, err
	}
	path := filepath.Join(CheckpointDir(paths, of, name), manifestName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		what, list := "checkpoint", "lkup checkpoint ls"
		if of != "" {
			what, list = "snapshot of "+string(of), "lkup snapshot ls"
		}
		return Checkpoint{}, fmt.Errorf("there is no %s %q; %s lists them", what, name, list)
	}
	if err != nil {
		return Checkpoint{}, err
	}
	var c Checkpoint
	if err := json.Unmarshal(content, &c); err != nil || c.FormatVersion < 1 || c.Name != name || c.Of != of || !c.sound() {
		return Checkpoint{}, fmt.Errorf("the checkpoint is damaged: %s", path)
	}
	if c.FormatVersion > FormatVersion {
		return Checkpoint{}, fmt.Errorf("checkpoint %s was written by a newer lkup (format %d, this one knows %d); update lkup", name, c.FormatVersion, FormatVersion)
	}
	return c, nil
}

// sound reports whether all that becomes a file's name can be one.
func (c Checkpoint) sound() bool {
	for _, m := range c.Machines {
		if !validID(m.Instance.ID) || slices.ContainsFunc(m.Files, func(name string) bool { return filepath.Base(name) != name || strings.HasPrefix(name, ".") }) {
			return false
		}
	}
	for _, v := range c.Volumes {
		if !validID(v.Volume.ID) || v.Volume.Format != "raw" && v.Volume.Format != "qcow2" {
			return false
		}
	}
	return true
}

// BeginCheckpoint makes the folder in which a checkpoint is put together, and
// throws away what an earlier try left of one.
func (s *Store) BeginCheckpoint(of spec.Address, name string) (dir string, err error) {
	dir = CheckpointDir(s.paths, of, name)
	if _, err := os.Lstat(dir); err == nil {
		return "", fmt.Errorf("there is a checkpoint %s already; choose another name, or remove it first", name)
	}
	dir += part
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, makeDir(dir)
}

// EndCheckpoint writes the record, and gives the folder its name.
func (s *Store) EndCheckpoint(c Checkpoint) error {
	c.FormatVersion = FormatVersion
	whole := CheckpointDir(s.paths, c.Of, c.Name)
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(whole+part, manifestName), append(content, '\n'), 0o600); err != nil {
		return err
	}
	if err := os.Rename(whole+part, whole); err != nil {
		return err
	}
	return syncDir(filepath.Dir(whole))
}

// RemoveCheckpoint removes one: its name goes first, so that none is seen that
// is not whole.
func (s *Store) RemoveCheckpoint(of spec.Address, name string) error {
	whole := CheckpointDir(s.paths, of, name)
	if err := errors.Join(os.RemoveAll(whole+part), os.Rename(whole, whole+part)); err != nil {
		return err
	}
	if err := os.RemoveAll(whole + part); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(whole)) // if it was the last
	return nil
}

// Restoring is a restoring that has begun: all copies are made, and nothing of
// it runs. What is left to do may be done again.
type Restoring struct {
	FormatVersion int                       `json:"format_version"`
	Name          string                    `json:"name"`
	Renames       []Rename                  `json:"renames"`
	Instances     map[spec.Address]Instance `json:"instances,omitempty"`
	Volumes       map[spec.Address]Volume   `json:"volumes,omitempty"`
}

// Rename gives a copy its place.
type Rename struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Restore puts copies in their places and records what they are, as a whole: a
// crash in between is made good when the stack is locked the next time.
func (s *Store) Restore(r Restoring) error {
	r.FormatVersion = FormatVersion
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := WriteFile(s.paths.Restoring(), append(content, '\n'), 0o600); err != nil {
		return err
	}
	return s.finish(r)
}

// finishRestoring does what an earlier run was killed over.
func (s *Store) finishRestoring() error {
	content, err := os.ReadFile(s.paths.Restoring())
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(s.paths.Copies()) // nothing was put in its place yet
	}
	var r Restoring
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err == nil && r.FormatVersion > FormatVersion {
		err = errors.New("it was begun by a newer lkup; update this one")
	}
	if err == nil {
		err = s.finish(r)
	}
	if err != nil {
		return fmt.Errorf("finish the restoring that %s describes: %w", s.paths.Restoring(), err)
	}
	return nil
}

func (s *Store) finish(r Restoring) error {
	for _, rename := range r.Renames {
		if err := makeDir(filepath.Dir(rename.To)); err != nil {
			return err
		}
		err := os.Rename(rename.From, rename.To)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // else it was done
			return err
		}
		if err := syncDir(filepath.Dir(rename.To)); err != nil {
			return err
		}
	}
	for _, address := range slices.Sorted(maps.Keys(r.Volumes)) {
		if err := s.PutVolume(r.Volumes[address]); err != nil {
			return err
		}
	}
	for _, address := range slices.Sorted(maps.Keys(r.Instances)) {
		i := r.Instances[address]
		if err := s.Put(i); err != nil {
			return err
		}
		if err := s.putPorts(i); err != nil {
			return err
		}
	}
	if err := os.Remove(s.paths.Restoring()); err != nil {
		return err
	}
	return errors.Join(syncDir(s.paths.Dir), os.RemoveAll(s.paths.Copies()))
}

// putPorts records that an instance's auto ports are chosen.
func (s *Store) putPorts(i Instance) error {
	var chosen []ChosenPort
	for _, p := range i.Applied.Ports {
		if p.Auto && p.Host != 0 {
			chosen = append(chosen, ChosenPort{Guest: p.Guest, Protocol: p.Protocol, Host: p.Host})
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	return s.update(func(state *State) {
		state.Ports = maps.Clone(state.Ports)
		if state.Ports == nil {
			state.Ports = map[spec.Address][]ChosenPort{}
		}
		state.Ports[i.Address] = chosen
	})
}
