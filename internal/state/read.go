package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	jsonv1 "github.com/go-json-experiment/json/v1"

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

// decode reads a state. The decoder is the mirror of the standard library's
// next one, with the meaning of this one: a state of many machines is most of
// what a plan reads.
func decode(path string, content []byte) (State, error) {
	var s State
	err := jsonv1.Unmarshal(content, &s)
	if err == nil && s.FormatVersion >= 1 && s.FormatVersion <= FormatVersion {
		return s, nil
	}
	var head struct {
		FormatVersion int `json:"format_version"`
	}
	if json.Unmarshal(content, &head) == nil && head.FormatVersion > FormatVersion {
		return State{}, fmt.Errorf("the state %s was written by a newer lkup (format %d, this one knows %d); update lkup", path, head.FormatVersion, FormatVersion)
	}
	detail := ""
	if err != nil && head.FormatVersion >= 1 {
		detail = fmt.Sprintf(" (%s)", err)
	}
	return State{}, fmt.Errorf("the state %s is damaged%s; to make it anew from what the machines say of themselves, type: lkup state rebuild (the one before it is %s.backup)", path, detail, path)
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
	if i.FormatVersion > FormatVersion {
		return Instance{}, fmt.Errorf("%s was written by a newer lkup (format %d, this one knows %d); update lkup", path, i.FormatVersion, FormatVersion)
	}
	return i, nil
}

// validID reports whether a text can be an ID, which is also a file name.
func validID(id string) bool {
	return len(id) == 8 && strings.Trim(id, "0123456789abcdef") == ""
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
