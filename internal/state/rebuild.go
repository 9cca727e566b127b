package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/spec"
)

// LostError says that a stack has machines and no state that knows of them.
type LostError struct {
	Dir      string
	Machines int
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the state in %s is gone, and %d machines that it knew of are still there; type: lkup state rebuild", e.Dir, e.Machines)
}

// lost looks for machines without a state.
func lost(paths layout.Stack) error {
	found, _, err := manifests(paths)
	if err != nil || len(found) == 0 {
		return err
	}
	return &LostError{Dir: paths.Dir, Machines: len(found)}
}

// rebuilt is the state that the manifests of a stack describe. What only the
// state knew is lost: the outputs, and what values were made from.
func rebuilt(paths layout.Stack) (State, error) {
	instances, serial, err := manifests(paths)
	if err != nil {
		return State{}, err
	}
	s := State{Serial: serial}
	for _, i := range instances {
		other, twice := s.Instances[i.Address]
		if twice && (other.Created && !i.Created || other.AppliedAt.After(i.AppliedAt)) {
			continue // the other one is the machine; this is what a crash left
		}
		s.put(i)
		s.Lineage = i.Lineage
		for _, p := range i.Applied.Ports {
			if p.Auto && p.Host != 0 {
				if s.Ports == nil {
					s.Ports = map[spec.Address][]ChosenPort{}
				}
				s.Ports[i.Address] = append(s.Ports[i.Address], ChosenPort{Guest: p.Guest, Protocol: p.Protocol, Host: p.Host})
			}
		}
	}
	return s, s.rebuildVolumes(paths)
}

// manifests reads the manifests of a stack's instances, and the highest serial
// that its backups know.
func manifests(paths layout.Stack) (all []Instance, serial int64, err error) {
	dirs, err := os.ReadDir(paths.Instances())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	for _, dir := range dirs {
		i, err := ReadManifest(paths.Instance(dir.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		content, err := os.ReadFile(paths.Manifest(dir.Name()))
		if err != nil {
			return nil, 0, err
		}
		if i.ID != dir.Name() {
			return nil, 0, fmt.Errorf("%s describes the machine %s, which is another one", paths.Manifest(dir.Name()), i.ID)
		}
		i.Manifest = sum(content)
		all = append(all, i)
	}
	backups, err := os.ReadDir(paths.Backups())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	for _, file := range backups {
		var n int64
		if _, err := fmt.Sscanf(file.Name(), "state-%d.json", &n); err == nil {
			serial = max(serial, n)
		}
	}
	return all, serial, nil
}

func (s *State) rebuildVolumes(paths layout.Stack) error {
	dirs, err := os.ReadDir(paths.Volumes())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		path := filepath.Join(paths.Volume(dir.Name()), "manifest.json")
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var v Volume
		if err := json.Unmarshal(content, &v); err != nil || v.ID != dir.Name() || v.FormatVersion > recordFormat {
			return fmt.Errorf("%s is damaged, or of a newer lkup: it describes no volume that this one knows", path)
		}
		if other, twice := s.Volumes[v.Address]; !twice || v.CreatedAt.After(other.CreatedAt) {
			s.putVolume(v)
		}
		if s.Lineage == "" {
			s.Lineage = v.Lineage
		}
	}
	return nil
}

// Backup copies the state, so that what is done next can be undone by hand. It
// gives the copy's path.
func (s *Store) Backup() (string, error) {
	s.mu.Lock()
	serial := s.state.Serial
	s.mu.Unlock()
	return backup(s.paths, fmt.Sprintf("state-%d.json", serial))
}

func backup(paths layout.Stack, name string) (string, error) {
	content, err := os.ReadFile(paths.StateFile())
	if err != nil {
		return "", err
	}
	if err := makeDir(paths.Backups()); err != nil {
		return "", err
	}
	path := filepath.Join(paths.Backups(), name)
	return path, WriteFile(path, content, 0o600)
}

// Addresses lists what the state knows, machines and volumes, sorted.
func (s State) Addresses() []spec.Address {
	all := make([]spec.Address, 0, len(s.Instances)+len(s.Volumes))
	for a := range s.Instances {
		all = append(all, a)
	}
	for a := range s.Volumes {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b spec.Address) int { return strings.Compare(string(a), string(b)) })
	return all
}
