package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lkup/lkup/internal/layout"
)

// Read gives the state of a stack. A stack that was never applied has an empty
// one; one with machines that no state knows of is a [LostError]. It takes no lock.
func Read(paths layout.Stack) (State, error) {
	content, err := os.ReadFile(paths.StateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, lost(paths)
	}
	if err != nil {
		return State{}, fmt.Errorf("read the state: %w", err)
	}
	return decode(paths.StateFile(), content)
}

// ReadManifest gives the instance that a directory describes itself as.
func ReadManifest(dir string) (Instance, error) {
	path := filepath.Join(dir, "manifest.json")
	content, err := os.ReadFile(path)
	if err != nil {
		return Instance{}, fmt.Errorf("%s is no VM's directory: %w", dir, err)
	}
	var i Instance
	if err := json.Unmarshal(content, &i); err != nil || i.FormatVersion < 1 || !validID(i.ID) {
		return Instance{}, fmt.Errorf("%s is damaged: it describes no VM", path)
	}
	if i.FormatVersion > recordFormat {
		return Instance{}, fmt.Errorf("%s was written by a newer lkup (format %d, this one knows %d); update lkup", path, i.FormatVersion, recordFormat)
	}
	return i, nil
}

// validID reports whether a text can be an ID, which is also a file name.
func validID(id string) bool {
	return len(id) == 8 && strings.Trim(id, "0123456789abcdef") == ""
}

// Others gives the states of this host's stacks but for one. Those that cannot
// be read are left out: they are another command's to complain about.
func Others(l layout.Layout, but layout.Stack) []State {
	dirs, err := os.ReadDir(l.Stacks())
	if err != nil {
		return nil
	}
	var all []State
	for _, dir := range dirs {
		path := filepath.Join(l.Stacks(), dir.Name(), "state.json")
		if filepath.Dir(path) == but.Dir {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if s, err := decode(path, content); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// Of finds the stacks of a project's directory. No state is read.
func Of(l layout.Layout, project string) ([]layout.Stack, error) {
	folders, err := os.ReadDir(l.Stacks())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the stacks: %w", err)
	}
	var all []layout.Stack
	for _, folder := range folders {
		if paths := l.StackOf(folder.Name()); paths.Of(project) {
			all = append(all, paths)
		}
	}
	return all, nil
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
