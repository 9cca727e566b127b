package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lkup/lkup/sources"
)

// Unneeded are the entries of g that nothing in live refers to, directly or
// not, and that were last used before then; nor does anything used later refer
// to them. Those that refer come before what they refer to.
func (g Graph) Unneeded(live []sources.Digest, before time.Time) []Entry {
	roots := slices.Clone(live)
	for d, e := range g {
		if !e.Used.Before(before) {
			roots = append(roots, d)
		}
	}
	needed := g.Needed(roots...)
	doomed := Graph{}
	for d, e := range g {
		if !needed[d] {
			doomed[d] = e
		}
	}
	return doomed.ReferrersFirst()
}

// ReferrersFirst sorts entries so that none comes after one that it refers to,
// cycles aside: whoever stops halfway leaves nothing without its parts.
func (g Graph) ReferrersFirst() []Entry {
	seen := map[sources.Digest]bool{}
	var order []Entry
	var visit func(d sources.Digest)
	visit = func(d sources.Digest) {
		e, here := g[d]
		if !here || seen[d] {
			return
		}
		seen[d] = true
		for _, r := range e.Refs {
			visit(r)
		}
		order = append(order, e)
	}
	for _, d := range g.Digests() {
		visit(d)
	}
	slices.Reverse(order)
	return order
}

// Remove deletes entries, in the order given, with all that is known of them.
// The store must be open alone.
func (s *Store) Remove(entries ...Entry) error {
	if !s.alone {
		return errNotAlone
	}
	for _, e := range entries {
		if err := s.remove(e.Digest); err != nil {
			return fmt.Errorf("remove %s: %w", e.Digest.Short(), err)
		}
	}
	return nil
}

func (s *Store) remove(d sources.Digest) error {
	// A folder goes in one step, so that no part of a result is left.
	gone := filepath.Join(s.dir, "tmp", "removed-"+d.Hex())
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(s.builtDir(d), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, path := range []string{s.blobPath(d), s.sumsPath(d), s.notePath(d)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(gone)
}

// Sweep deletes what is of no more use whatever is needed: what dead processes
// left in scratch folders, unfinished downloads, locks, and pins, notes and sums of entries that are
// gone. The store must be open alone.
func (s *Store) Sweep() error {
	if !s.alone {
		return errNotAlone
	}
	for _, folder := range []string{"tmp", "locks", Downloads} {
		names, err := os.ReadDir(s.Dir(folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweep image store: %w", err)
		}
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(s.Dir(folder), name.Name())); err != nil {
				return fmt.Errorf("sweep image store: %w", err)
			}
		}
	}
	for _, folder := range []string{"notes", "sums", "pins"} {
		if err := s.sweepRecords(folder); err != nil {
			return fmt.Errorf("sweep image store: %w", err)
		}
	}
	return nil
}

// sweepRecords deletes the records of a folder whose entry is gone.
func (s *Store) sweepRecords(folder string) error {
	names, err := os.ReadDir(s.Dir(folder))
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(s.Dir(folder), name.Name())
		d := sources.Digest("sha256:" + strings.TrimSuffix(name.Name(), ".json"))
		if folder == "pins" {
			d = cmp.Or(pinnedIn(path), d)
		}
		if s.has(d) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// has reports whether there is an entry, and does not count as a use of it.
func (s *Store) has(d sources.Digest) bool {
	if !d.Valid() {
		return false
	}
	_, blob := os.Lstat(s.blobPath(d))
	_, built := os.Lstat(s.builtDir(d))
	return blob == nil || built == nil
}
