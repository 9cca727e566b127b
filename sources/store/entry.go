package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lkup/lkup/sources"
)

// Entry is what the store has under a digest: a content, a result, or both.
type Entry struct {
	Digest sources.Digest
	Note
	Size int64 // bytes on the disk; holes do not count
	Used time.Time
	// Refs are the entries that it cannot do without, and those of its note.
	// They are found, not declared: see Entries.
	Refs []sources.Digest

	diffID string // of a layer, its other name
	text   []byte // in which references stand
}

// Entries lists everything in the store.
//
// What an entry refers to is found in its own records: any SHA-256 in them, in
// hexadecimal, that is another entry's digest, or a layer's diff ID, is a
// reference. So a source need not tell the store how its records are made, a
// new one cannot forget to, and a text that looks like a reference only keeps
// what it names.
func (s *Store) Entries() (Graph, error) {
	all := Graph{}
	for _, folder := range []string{"blobs/sha256", "built"} {
		names, err := os.ReadDir(filepath.Join(s.dir, folder))
		if err != nil {
			return nil, fmt.Errorf("list image store: %w", err)
		}
		for _, name := range names {
			d := sources.Digest("sha256:" + name.Name())
			if !d.Valid() {
				continue
			}
			e, known := all[d]
			if !known {
				e = Entry{Digest: d, Note: s.note(d)}
			}
			if err := e.read(filepath.Join(s.dir, folder, name.Name())); err != nil {
				return nil, fmt.Errorf("read image store: %w", err)
			}
			all[d] = e
		}
	}
	all.link()
	return all, nil
}

// read adds what lies at path to an entry.
func (e *Entry) read(path string) error {
	built := false
	return filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if file == path && info.ModTime().After(e.Used) {
			e.Used = info.ModTime()
		}
		if entry.IsDir() {
			built = true
			return nil
		}
		e.Size += onDisk(info)
		e.classify(entry.Name(), built)
		return e.scan(file, entry.Name(), info.Size(), built)
	})
}

// classify guesses the kind of an entry that nobody made a note of.
func (e *Entry) classify(name string, built bool) {
	switch {
	case e.Kind.Named():
	case built && name == layersFile:
		e.Kind = Component
	case built && name == layerFile:
		e.Kind = Layer
	case built && e.Kind != Component && e.Kind != Layer:
		e.Kind = Part
	case e.Kind == "":
		e.Kind = Blob
	}
}

// largestRecord bounds what counts as a record, in bytes.
const largestRecord = 8 << 20

// scan keeps the text of a record: JSON, whatever it says. A layer's diff ID
// is its other name.
func (e *Entry) scan(path, name string, size int64, built bool) error {
	if size > largestRecord || built && name != diffIDFile && !strings.HasSuffix(name, ".json") {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, 1)
	if _, err := file.ReadAt(head, 0); err != nil || name != diffIDFile && head[0] != '{' && head[0] != '[' {
		return nil // it is empty, or no record
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if built && name == diffIDFile {
		e.diffID = strings.TrimPrefix(strings.TrimSpace(string(content)), "sha256:")
		return nil
	}
	e.text = append(append(e.text, content...), '\n')
	return nil
}

// onDisk is what a file takes up. A file system that shares blocks may give
// less back.
func onDisk(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), stat.Blocks*512)
	}
	return info.Size()
}

// Graph is the entries of a store by their digests.
type Graph map[sources.Digest]Entry

var hexSum = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[0-9a-f]{64,}`)
})

// Mentioned gives the digests that stand in a text.
func Mentioned(text []byte) []sources.Digest {
	var found []sources.Digest
	for _, sum := range hexSum().FindAll(text, -1) {
		if len(sum) == 64 {
			found = append(found, sources.Digest("sha256:"+string(sum)))
		}
	}
	return found
}

func (g Graph) link() {
	layers := map[sources.Digest][]sources.Digest{}
	for d, e := range g {
		if e.diffID != "" {
			other := sources.Digest("sha256:" + e.diffID)
			layers[other] = append(layers[other], d)
		}
	}
	for d, e := range g {
		set := map[sources.Digest]bool{}
		for _, other := range append(Mentioned(e.text), e.Note.Refs...) {
			for _, named := range append(layers[other], other) {
				if _, here := g[named]; here && named != d {
					set[named] = true
				}
			}
		}
		e.Refs, e.text = slices.Sorted(maps.Keys(set)), nil
		g[d] = e
	}
}

// Digests lists the entries, sorted.
func (g Graph) Digests() []sources.Digest { return slices.Sorted(maps.Keys(g)) }

// Needed is roots and all that they refer to, directly or not.
func (g Graph) Needed(roots ...sources.Digest) map[sources.Digest]bool {
	needed := map[sources.Digest]bool{}
	for len(roots) > 0 {
		d := roots[len(roots)-1]
		roots = roots[:len(roots)-1]
		e, here := g[d]
		if !here || needed[d] {
			continue
		}
		needed[d] = true
		roots = append(roots, e.Refs...)
	}
	return needed
}

// Dependents are the entries that refer to any of roots, directly or not, and
// roots themselves.
func (g Graph) Dependents(roots ...sources.Digest) map[sources.Digest]bool {
	back := Graph{}
	for d, e := range g {
		for _, r := range e.Refs {
			b := back[r]
			b.Refs = append(b.Refs, d)
			back[r] = b
		}
		if _, known := back[d]; !known {
			back[d] = Entry{}
		}
	}
	return back.Needed(roots...)
}

// Find gives the entry with this digest, or the only one whose digest begins
// with this text, "sha256:" or not.
func (g Graph) Find(text string) (Entry, error) {
	text = strings.TrimPrefix(text, "sha256:")
	var found []sources.Digest
	for _, d := range g.Digests() {
		if strings.HasPrefix(d.Hex(), text) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return Entry{}, fmt.Errorf("nothing in the image store has the digest %s", text)
	case 1:
		return g[found[0]], nil
	}
	return Entry{}, fmt.Errorf("%d entries of the image store have digests that begin with %s; write more of it", len(found), text)
}

// ByName gives the named entries that were called so, the last used first.
func (g Graph) ByName(name string) []Entry {
	var found []Entry
	for _, d := range g.Digests() {
		if slices.Contains(g[d].Names, name) {
			found = append(found, g[d])
		}
	}
	slices.SortStableFunc(found, func(a, b Entry) int { return b.Used.Compare(a.Used) })
	return found
}

var errNotAlone = errors.New("nothing is deleted from an image store that others may use")
