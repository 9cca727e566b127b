package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lkup/lkup/internal/layout"
)

// Read gives the state of a stack. A stack that was never applied has an empty
// one. It takes no lock.
func Read(paths layout.Stack) (State, error) {
	content, err := os.ReadFile(paths.StateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read the state: %w", err)
	}
	return decode(paths.StateFile(), content)
}

func decode(path string, content []byte) (State, error) {
	var head struct {
		FormatVersion int `json:"format_version"`
	}
	if err := json.Unmarshal(content, &head); err != nil || head.FormatVersion < 1 {
		return State{}, fmt.Errorf("the state %s is damaged; the one before it is %s.backup: look at it and copy it over", path, path)
	}
	if head.FormatVersion > FormatVersion {
		return State{}, fmt.Errorf("the state %s was written by a newer lkup (format %d, this one knows %d); update lkup", path, head.FormatVersion, FormatVersion)
	}
	var s State
	if err := json.Unmarshal(content, &s); err != nil {
		return State{}, fmt.Errorf("the state %s is damaged (%w); the one before it is %s.backup: look at it and copy it over", path, err, path)
	}
	return s, nil
}

// List gives the states of all stacks on this host, sorted by ID. Folders
// without a state are passed over.
func List(l layout.Layout) ([]State, error) {
	dirs, err := os.ReadDir(l.Stacks())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the stacks: %w", err)
	}
	var all []State
	for _, dir := range dirs {
		path := filepath.Join(l.Stacks(), dir.Name(), "state.json")
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the state: %w", err)
		}
		s, err := decode(path, content)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
