package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// imageUsers says which stacks use an image, by its digest: machines that are
// there, and generations to go back to.
func imageUsers(l layout.Layout) (map[sources.Digest][]view.StoreUser, error) {
	stacks, err := state.List(l)
	if err != nil {
		return nil, err
	}
	dirs, err := os.ReadDir(l.Stacks())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	users := map[sources.Digest][]view.StoreUser{}
	for _, dir := range dirs {
		known := state.State{Stack: dir.Name(), StackID: dir.Name()} // after down, its generations are left
		for _, s := range stacks {
			if s.StackID == dir.Name() {
				known = s
			}
		}
		generations, err := state.Generations(layout.Stack{ID: dir.Name(), Dir: filepath.Join(l.Stacks(), dir.Name())})
		if err != nil {
			return nil, err
		}
		for d, u := range usedBy(known, generations) {
			users[d] = append(users[d], u)
		}
	}
	return users, nil
}

// usedBy is what one stack uses of which image.
func usedBy(known state.State, generations []state.Generation) map[sources.Digest]view.StoreUser {
	users := map[sources.Digest]view.StoreUser{}
	for _, address := range sortedKeys(known.Instances) {
		d := known.Instances[address].Digest
		u := users[d]
		u.Machines = append(u.Machines, string(address))
		users[d] = u
	}
	for _, g := range generations {
		for _, address := range sortedKeys(g.Members) {
			d := g.Members[address].Digest
			u := users[d]
			if !slices.Contains(u.Generations, g.Number) {
				u.Generations = append(u.Generations, g.Number)
			}
			users[d] = u
		}
	}
	for d, u := range users {
		u.Stack, u.ID = known.Stack, known.StackID
		users[d] = u
	}
	return users
}

// liveDigests are the digests that stand anywhere in what machines, volumes
// and generations say of themselves, and in the lock files of their projects.
// Whatever a record comes to hold later, what it names stays; one that cannot
// be read is an error, because nothing may be deleted then. The state itself
// also remembers what machines were once made from, and so is not searched.
func liveDigests(l layout.Layout) ([]sources.Digest, error) {
	var live []sources.Digest
	err := filepath.WalkDir(l.Stacks(), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "backups" {
			return filepath.SkipDir // what they name can be had again
		}
		if err != nil || !entry.Type().IsRegular() || entry.Name() == "state.json" || !strings.HasSuffix(path, ".json") {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file that was being replaced
		}
		live = append(live, store.Mentioned(content)...)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find out what the stacks use: %w", err)
	}
	stacks, err := state.List(l)
	if err != nil {
		return nil, err
	}
	for _, s := range stacks {
		for _, i := range s.Instances {
			live = append(live, i.Digest)
		}
		pins, err := readLockFile(s.Project)
		if err != nil {
			continue // it is moved or broken; what runs does not depend on it
		}
		for _, d := range pins {
			live = append(live, d)
		}
	}
	return live, nil
}

// inventory is the store's content, and who uses it.
type storeInventory struct {
	graph store.Graph
	users map[sources.Digest][]view.StoreUser
}

func takeInventory(host Host, s *store.Store) (storeInventory, error) {
	users, err := imageUsers(host.Layout())
	if err != nil {
		return storeInventory{}, err
	}
	graph, err := s.Entries()
	return storeInventory{graph, users}, err
}

// row is an entry as the view has it.
func (i storeInventory) row(e store.Entry) view.StoreEntry {
	row := view.StoreEntry{
		Digest: string(e.Digest), Kind: string(e.Kind), Names: e.Names, Arch: e.Arch, Own: e.Size, Used: e.Used, Users: i.users[e.Digest],
	}
	for d := range i.graph.Needed(e.Digest) {
		row.Size += i.graph[d].Size
	}
	return row
}

func (i storeInventory) totals(dir string) view.StoreTotals {
	totals := view.StoreTotals{Dir: dir, Entries: len(i.graph)}
	for _, e := range i.graph {
		totals.Size += e.Size
	}
	return totals
}

// named lists what people name, and with all everything: images first, and
// each kind by its names.
func (i storeInventory) named(all bool) []view.StoreEntry {
	var rows []view.StoreEntry
	for _, d := range i.graph.Digests() {
		if e := i.graph[d]; all || e.Kind.Named() && len(e.Names) > 0 {
			rows = append(rows, i.row(e))
		}
	}
	order := []store.Kind{store.Image, store.Disk, store.Component, store.Layer, store.Part, store.Blob}
	slices.SortStableFunc(rows, func(a, b view.StoreEntry) int {
		if a.Kind != b.Kind {
			return slices.Index(order, store.Kind(a.Kind)) - slices.Index(order, store.Kind(b.Kind))
		}
		return strings.Compare(strings.Join(a.Names, " "), strings.Join(b.Names, " "))
	})
	return rows
}

// find is the entry that a person means: by digest, or the beginning of one,
// or by the name that is used for it.
func (i storeInventory) find(text string) (store.Entry, error) {
	if found := i.graph.ByName(text); len(found) > 0 {
		return found[0], nil
	}
	if hex := strings.TrimPrefix(text, "sha256:"); len(hex) < 6 || strings.Trim(hex, "0123456789abcdef") != "" {
		return store.Entry{}, fmt.Errorf("nothing in the image store is called %q; lkup image ls lists what is", text)
	}
	return i.graph.Find(text)
}
