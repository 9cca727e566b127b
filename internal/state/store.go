package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/spec"
)

// Owner says whose state is opened, and where its randomness comes from.
type Owner struct {
	Stack   string
	Project string
	Holder  Holder
	Rand    io.Reader
	Timeout time.Duration // how long to wait for the lock
	// Rebuild makes the state anew from the manifests; the one that is there,
	// damaged or not, becomes a backup.
	Rebuild bool
}

// Store is a stack's state, locked for writing. It is safe for concurrent use.
//
// Every instance has its record in its own directory, written before Put
// returns; state.json repeats them all. When many Puts come at once they share
// one write of state.json, so that a thousand instances do not cost a thousand
// times a thousand records.
type Store struct {
	paths layout.Stack
	lock  *flock.Flock

	mu      sync.Mutex
	state   State
	written *sync.Cond
	wanted  int64 // writes asked for
	done    int64 // writes that are on disk
	writing bool
	lastErr error
	journal *journal
}

// Lock opens a stack's state for writing, and holds its lock until Close.
func Lock(ctx context.Context, paths layout.Stack, owner Owner) (*Store, error) {
	if err := makeDir(paths.Dir); err != nil {
		return nil, err
	}
	lock, err := acquire(ctx, paths, owner.Stack, owner.Holder, owner.Timeout)
	if err != nil {
		return nil, err
	}
	s, err := open(paths, owner)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	s.lock = lock
	return s, nil
}

func open(paths layout.Stack, owner Owner) (*Store, error) {
	known, err := Read(paths)
	switch {
	case owner.Rebuild:
		if known, err = replaced(paths, known); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	}
	if known.Lineage == "" {
		random := make([]byte, 16)
		if _, err := io.ReadFull(owner.Rand, random); err != nil {
			return nil, err
		}
		known.Lineage = hex.EncodeToString(random)
	}
	known.FormatVersion = FormatVersion
	known.Stack, known.StackID, known.Project = owner.Stack, paths.ID, owner.Project
	journal, err := openJournal(paths.Journal())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sweep(paths, known), sweepVolumes(paths, known)); err != nil {
		return nil, err
	}
	s := &Store{paths: paths, state: known, journal: journal}
	s.written = sync.NewCond(&s.mu)
	if known.Serial == 0 || owner.Rebuild { // a new state: its lineage must last
		if err := s.update(func(*State) {}); err != nil {
			return s, err
		}
	}
	return s, s.finishRestoring()
}

// replaced puts the state aside and gives the one that the manifests describe.
func replaced(paths layout.Stack, old State) (State, error) {
	name := "state-damaged.json"
	if old.Serial != 0 {
		name = fmt.Sprintf("state-%d.json", old.Serial)
	}
	if _, err := backup(paths, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return State{}, err
	}
	known, err := rebuilt(paths)
	known.Serial = max(known.Serial, old.Serial)
	if known.Lineage == "" {
		known.Lineage = old.Lineage
	}
	return known, err
}

// Close gives the lock back. What was put is on disk already.
func (s *Store) Close() error {
	return errors.Join(s.journal.close(), s.lock.Unlock())
}

// State is a copy of what is remembered now.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := s.state
	copied.Instances = maps.Clone(s.state.Instances)
	copied.Ports = maps.Clone(s.state.Ports)
	copied.Outputs = maps.Clone(s.state.Outputs)
	copied.Volumes = maps.Clone(s.state.Volumes)
	copied.Sources = maps.Clone(s.state.Sources)
	return copied
}

// Instance gives the record of one VM.
func (s *Store) Instance(address spec.Address) (Instance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.state.Instances[address]
	return i, found
}

// Put records an instance: its manifest first, then the state.
func (s *Store) Put(i Instance) error {
	i, err := s.writeManifest(i)
	if err != nil {
		return err
	}
	return s.update(func(state *State) { state.put(i) })
}

func (s *State) put(i Instance) {
	if s.Instances == nil {
		s.Instances = map[spec.Address]Instance{}
	}
	s.Instances[i.Address] = i
}

// writeManifest writes an instance's record into its own directory, and gives
// the record as the state has it.
func (s *Store) writeManifest(i Instance) (Instance, error) {
	s.mu.Lock()
	i.FormatVersion, i.Stack, i.Project, i.Lineage = recordFormat, s.state.Stack, s.state.Project, s.state.Lineage
	s.mu.Unlock()
	i.Manifest, i.ManifestSize, i.ManifestTime = "", 0, 0
	content, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return i, err
	}
	content = append(content, '\n')
	if err := makeDir(s.paths.Instance(i.ID)); err != nil {
		return i, err
	}
	path := s.paths.Manifest(i.ID)
	if err := WriteFile(path, content, 0o600); err != nil {
		return i, err
	}
	written, err := os.Stat(path)
	if err != nil {
		return i, err
	}
	i.Manifest, i.ManifestSize, i.ManifestTime = sum(content), written.Size(), written.ModTime().UnixNano()
	return i, nil
}

// sum identifies what a manifest says.
func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

// Edited reports whether an instance's manifest is not what lkup wrote.
func Edited(paths layout.Stack, i Instance) (bool, error) {
	if i.Manifest == "" {
		return false, nil // written by an lkup that did not note it
	}
	path := paths.Manifest(i.ID)
	now, err := os.Lstat(path)
	if err == nil && now.Size() == i.ManifestSize && now.ModTime().UnixNano() == i.ManifestTime {
		return false, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && sum(content) != i.Manifest, err
}

// Release forgets an instance, and leaves its directory and its machine alone.
func (s *Store) Release(address spec.Address) error {
	return s.update(func(state *State) { delete(state.Instances, address) })
}

// Move gives an instance, and the ports chosen for it, another address.
func (s *Store) Move(from, to spec.Address) error {
	i, found := s.Instance(from)
	if !found {
		return nil // it was moved already
	}
	if _, taken := s.Instance(to); taken {
		return fmt.Errorf("move %s to %s: there is one already", from, to)
	}
	i.Address, i.Applied.Address = to, to
	i, err := s.writeManifest(i)
	if err != nil {
		return err
	}
	dependents, err := s.redirected(from, to)
	if err != nil {
		return err
	}
	return s.update(func(state *State) {
		delete(state.Instances, from)
		state.put(i)
		for _, d := range dependents {
			state.put(d)
		}
		if ports, chosen := state.Ports[from]; chosen {
			state.Ports = maps.Clone(state.Ports)
			state.Ports[to] = ports
			delete(state.Ports, from)
		}
	})
}

// redirected are the instances that depend on from, which is now called to.
func (s *Store) redirected(from, to spec.Address) ([]Instance, error) {
	var all []Instance
	for a, i := range s.State().Instances {
		at := slices.Index(i.Applied.DependsOn, from)
		if at < 0 || a == from {
			continue
		}
		i.Applied.DependsOn = slices.Clone(i.Applied.DependsOn)
		i.Applied.DependsOn[at] = to
		slices.Sort(i.Applied.DependsOn)
		if c, conditional := i.Applied.Conditions[from]; conditional {
			i.Applied.Conditions = maps.Clone(i.Applied.Conditions)
			delete(i.Applied.Conditions, from)
			i.Applied.Conditions[to] = c
		}
		i, err := s.writeManifest(i)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}

// Adopt records, under an address, the instance in whose directory a manifest
// lies. A directory of another stack is brought here first.
func (s *Store) Adopt(dir string, address spec.Address) error {
	if _, taken := s.Instance(address); taken {
		return nil // it was adopted already
	}
	i, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	if own := s.paths.Instance(i.ID); own != dir {
		if err := makeDir(s.paths.Instances()); err != nil {
			return err
		}
		if err := os.Rename(dir, own); err != nil {
			return fmt.Errorf("bring %s here: %w", dir, err)
		}
	}
	i.Address, i.Applied.Address = address, address
	return s.Put(i)
}

// SetSources records a set of sources under the name by which instances refer
// to it, and forgets those to which none does.
func (s *Store) SetSources(name string, set map[string]spec.Fingerprint) error {
	s.mu.Lock()
	_, there := s.state.Sources[name]
	s.mu.Unlock()
	if there || len(set) == 0 {
		return nil
	}
	return s.update(func(state *State) {
		kept := map[string]map[string]spec.Fingerprint{name: set}
		for _, i := range state.Instances {
			if used, there := state.Sources[i.Sources]; there {
				kept[i.Sources] = used
			}
		}
		state.Sources = kept
	})
}

// Forget removes an instance's directory, then its record, and with its ports
// if the VM is gone for good. A crash in between leaves the record, so that
// the removal is done again.
func (s *Store) Forget(address spec.Address, forGood bool) error {
	i, found := s.Instance(address)
	if found {
		if err := os.RemoveAll(s.paths.Instance(i.ID)); err != nil {
			return fmt.Errorf("remove the directory of %s: %w", address, err)
		}
		if err := os.RemoveAll(s.paths.RunDir(i.ID)); err != nil {
			return fmt.Errorf("remove the sockets of %s: %w", address, err)
		}
	}
	return s.update(func(state *State) {
		delete(state.Instances, address)
		if forGood {
			delete(state.Ports, address)
		}
	})
}

// SetPorts records the host ports chosen for a VM's auto ports.
func (s *Store) SetPorts(chosen map[spec.Address][]ChosenPort) error {
	return s.update(func(state *State) { state.Ports = chosen })
}

// SetOutputs records the outputs, and the names of those that are sensitive.
func (s *Store) SetOutputs(outputs map[string]any, sensitive []string) error {
	return s.update(func(state *State) { state.Outputs, state.Sensitive = outputs, sensitive })
}

// Remove forgets the whole stack, if no instance is left. The lock's file
// stays: whoever waits for it must find it.
func (s *Store) Remove() error {
	if left := s.State().Instances; len(left) > 0 {
		return fmt.Errorf("%d machines are left", len(left))
	}
	if len(s.State().Volumes) > 0 {
		return nil // they stay, and so does what is known of them
	}
	for _, dir := range []string{s.paths.Checkpoints(), s.paths.Snapshots("")} {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil // there are some: the stack can come back
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range []string{s.paths.StateFile(), s.paths.StateFile() + ".backup", s.paths.Journal(), s.paths.SupervisorLog(), s.paths.Events(), s.paths.OldEvents(), s.paths.Run} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.Remove(s.paths.Instances()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("something is left of a machine that lkup does not know: %w", err)
	}
	return nil
}

// update changes the state and returns once the change is on disk.
func (s *Store) update(change func(*State)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	s.wanted++
	mine := s.wanted
	for s.done < mine {
		if s.writing {
			s.written.Wait()
			continue
		}
		s.writeLocked()
	}
	return s.lastErr
}

// writeLocked writes all changes made so far, with the mutex given back while
// the disk works.
func (s *Store) writeLocked() {
	s.writing = true
	upTo := s.wanted
	s.state.Serial++
	content, err := encode(s.state)
	s.mu.Unlock()
	if err == nil {
		err = s.write(content)
	}
	s.mu.Lock()
	s.writing, s.done, s.lastErr = false, upTo, err
	s.written.Broadcast()
}

// write keeps the state before this one as a backup.
func (s *Store) write(content []byte) error {
	file := s.paths.StateFile()
	backup := file + ".backup"
	if err := os.Remove(backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return plain(backup, err)
	}
	if err := os.Link(file, backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return plain(backup, err)
	}
	return WriteFile(file, content, 0o600)
}

// Unfinished lists the effects that an earlier run began and did not end.
func (s *Store) Unfinished() []Entry { return slices.Clone(s.journal.unfinished) }

// sweepVolumes removes what copies of disks left that were killed: files that
// are not whole, and the directories of volumes that were never recorded, if
// nothing else is in them.
func sweepVolumes(paths layout.Stack, known State) error {
	ids := map[string]bool{}
	for _, v := range known.Volumes {
		ids[v.ID] = true
	}
	dirs, err := os.ReadDir(paths.Volumes())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, dir := range dirs {
		inside, err := os.ReadDir(paths.Volume(dir.Name()))
		if err != nil {
			return err
		}
		for _, f := range inside {
			switch filepath.Ext(f.Name()) {
			case ".part", ".format":
				if err := os.Remove(filepath.Join(paths.Volume(dir.Name()), f.Name())); err != nil {
					return err
				}
			}
		}
		if !ids[dir.Name()] {
			_ = os.Remove(paths.Volume(dir.Name())) // which does nothing if something is in it
		}
	}
	return nil
}

// sweep removes the directories of instances whose record never reached the
// state: a crash came between the two, and before anything was created.
func sweep(paths layout.Stack, known State) error {
	ids := map[string]bool{}
	for _, i := range known.Instances {
		ids[i.ID] = true
	}
	dirs, err := os.ReadDir(paths.Instances())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, dir := range dirs {
		if ids[dir.Name()] {
			continue
		}
		inside, err := os.ReadDir(paths.Instance(dir.Name()))
		if err != nil {
			return err
		}
		if len(inside) > 1 || len(inside) == 1 && inside[0].Name() != filepath.Base(paths.Manifest("")) {
			continue // something was made here: it is not ours to throw away
		}
		if err := os.RemoveAll(paths.Instance(dir.Name())); err != nil {
			return err
		}
	}
	return nil
}
