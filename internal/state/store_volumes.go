package state

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/lkup/lkup/spec"
)

// PutVolume records a volume: its manifest first, then the state.
func (s *Store) PutVolume(v Volume) error {
	v, err := s.writeVolume(v)
	if err != nil {
		return err
	}
	return s.update(func(state *State) { state.putVolume(v) })
}

func (s *State) putVolume(v Volume) {
	s.Volumes = maps.Clone(s.Volumes)
	if s.Volumes == nil {
		s.Volumes = map[spec.Address]Volume{}
	}
	s.Volumes[v.Address] = v
}

// writeVolume writes a volume's record into its own directory.
func (s *Store) writeVolume(v Volume) (Volume, error) {
	s.mu.Lock()
	v.FormatVersion, v.Stack, v.Project, v.Lineage = recordFormat, s.state.Stack, s.state.Project, s.state.Lineage
	s.mu.Unlock()
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return v, err
	}
	dir := s.paths.Volume(v.ID)
	if err := makeDir(dir); err != nil {
		return v, err
	}
	return v, WriteFile(filepath.Join(dir, "manifest.json"), append(content, '\n'), 0o600)
}

// MakeVolume makes the directory of a volume that is not recorded yet.
func (s *Store) MakeVolume(v Volume) error { return makeDir(s.paths.Volume(v.ID)) }

// UnmakeVolume removes the directory of a volume that was never recorded.
func (s *Store) UnmakeVolume(v Volume) error {
	if _, recorded := s.State().Volumes[v.Address]; recorded {
		return fmt.Errorf("%s is recorded", v.Address)
	}
	return os.RemoveAll(s.paths.Volume(v.ID))
}

// ReleaseVolume forgets a volume, and leaves its disk alone.
func (s *Store) ReleaseVolume(address spec.Address) error {
	return s.update(func(state *State) {
		state.Volumes = maps.Clone(state.Volumes)
		delete(state.Volumes, address)
	})
}

// RemoveVolume destroys a volume that no instance has. Its disk goes first, so
// that a crash in between leaves the record, and it can be removed again.
func (s *Store) RemoveVolume(address spec.Address) error {
	known := s.State()
	for _, i := range known.Instances {
		if _, has := i.Volumes[address]; has {
			return fmt.Errorf("%s has %s", i.Address, address)
		}
	}
	v, found := known.Volumes[address]
	if !found {
		return nil // it was removed already
	}
	if err := os.RemoveAll(s.paths.Volume(v.ID)); err != nil {
		return fmt.Errorf("remove the disk of %s: %w", address, err)
	}
	return s.ReleaseVolume(address)
}

// MoveVolume gives a volume another address, also where instances mount it.
func (s *Store) MoveVolume(from, to spec.Address) error {
	known := s.State()
	v, found := known.Volumes[from]
	if !found {
		return nil // it was moved already
	}
	if _, taken := known.Volumes[to]; taken {
		return fmt.Errorf("move %s to %s: there is one already", from, to)
	}
	v.Address = to
	v, err := s.writeVolume(v)
	if err != nil {
		return err
	}
	var moved []Instance
	for _, i := range known.Instances {
		if _, mounts := i.Volumes[from]; !mounts {
			continue
		}
		i, err := s.writeManifest(remounted(i, from, v))
		if err != nil {
			return err
		}
		moved = append(moved, i)
	}
	return s.update(func(state *State) {
		for _, i := range moved {
			state.put(i)
		}
		state.putVolume(v)
		delete(state.Volumes, from)
	})
}

// remounted is an instance that knows a volume by its new address.
func remounted(i Instance, from spec.Address, v Volume) Instance {
	i.Volumes = maps.Clone(i.Volumes)
	delete(i.Volumes, from)
	i.Volumes[v.Address] = v
	i.Applied.Mounts = slices.Clone(i.Applied.Mounts)
	for n, m := range i.Applied.Mounts {
		if m.Volume == from {
			i.Applied.Mounts[n].Volume = v.Address
		}
	}
	slices.SortFunc(i.Applied.Mounts, func(a, b spec.Mount) int { return cmp.Compare(a.Volume, b.Volume) })
	return i
}
