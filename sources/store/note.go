package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"github.com/lkup/lkup/sources"
)

// Kind is what an entry is to a person.
type Kind string

// The kinds. The first three are what stacks and templates name.
const (
	Image     Kind = "image"     // a kernel with its initrds
	Disk      Kind = "disk"      // an image that boots from a disk
	Component Kind = "component" // what a template names
	Layer     Kind = "layer"     // of a component, unpacked
	Part      Kind = "part"      // built, of an image or a component
	Blob      Kind = "blob"      // content by its digest: archives, lists, manifests
)

// Named reports whether entries of the kind are what people name.
func (k Kind) Named() bool { return k == Image || k == Disk || k == Component }

// Note is what the store is told of an entry. What it can find out by itself
// it is not told: see [Store.Entries].
type Note struct {
	Kind Kind `json:"kind,omitempty"`
	// Names are what people called it: refs, and templates by their files.
	Names []string `json:"names,omitempty"`
	Arch  string   `json:"arch,omitempty"`
	// Refs are entries that were made from this one under a key that its
	// content does not tell, such as a component's unpacked form.
	Refs []sources.Digest `json:"refs,omitempty"`
	// Inputs are what an image was made from: components by their refs. They
	// are told, and not kept for it.
	Inputs map[string]sources.Digest `json:"inputs,omitempty"`
}

// mostNames bounds how many names an entry keeps; the latest stay.
const mostNames = 16

// Note adds to what is known of an entry.
func (s *Store) Note(d sources.Digest, n Note) error {
	if !d.Valid() {
		return fmt.Errorf("note in image store: %q is not a digest", d)
	}
	known := s.note(d)
	content, err := json.Marshal(known.with(n))
	if err != nil {
		return fmt.Errorf("note %s: %w", d.Short(), err)
	}
	if before, err := json.Marshal(known); err == nil && string(before) == string(content) {
		return nil
	}
	if err := renameio.WriteFile(s.notePath(d), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("note %s: %w", d.Short(), err)
	}
	return nil
}

func (n Note) with(more Note) Note {
	if more.Kind != "" {
		n.Kind = more.Kind
	}
	if more.Arch != "" {
		n.Arch = more.Arch
	}
	if more.Inputs != nil {
		n.Inputs = more.Inputs
	}
	for _, name := range more.Names {
		if !slices.Contains(n.Names, name) {
			n.Names = append(n.Names, name)
		}
	}
	n.Names = n.Names[max(0, len(n.Names)-mostNames):]
	n.Refs = slices.Clone(n.Refs)
	n.Refs = append(n.Refs, more.Refs...)
	slices.Sort(n.Refs)
	n.Refs = slices.Compact(n.Refs)
	return n
}

// note is what is known of an entry. A damaged note counts as none: nothing
// but the listing depends on it.
func (s *Store) note(d sources.Digest) Note {
	var n Note
	content, err := os.ReadFile(s.notePath(d))
	if err != nil || json.Unmarshal(content, &n) != nil {
		return Note{}
	}
	return n
}

func (s *Store) notePath(d sources.Digest) string {
	return filepath.Join(s.dir, "notes", d.Hex()+".json")
}

// Records are the JSON documents of an entry, by their names: "content" for
// the content itself.
func (s *Store) Records(d sources.Digest) map[string]json.RawMessage {
	records := map[string]json.RawMessage{}
	if !d.Valid() {
		return records
	}
	files, _ := filepath.Glob(filepath.Join(s.builtDir(d), "*.json")) // the pattern is right
	for _, path := range append(files, s.blobPath(d)) {
		info, err := os.Lstat(path)
		if err != nil || info.Size() > largestRecord {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil || !json.Valid(content) {
			continue
		}
		name := filepath.Base(path)
		if path == s.blobPath(d) {
			name = "content"
		}
		records[name] = content
	}
	return records
}
