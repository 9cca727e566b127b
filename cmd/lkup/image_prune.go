package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// openStoreAlone opens the store so that things can be removed: no other lkup
// has it open.
func openStoreAlone(call *call, flags lockFlags) (*store.Store, error) {
	ctx, cancel := context.WithTimeout(call.ctx, flags.LockTimeout.Duration)
	defer cancel()
	s, err := store.OpenAlone(ctx, storeDir(call.Host))
	if errors.Is(err, store.ErrInUse) && call.ctx.Err() == nil {
		return nil, fmt.Errorf("%w, and nothing is removed meanwhile; to wait for it, add --lock-timeout 10m", store.ErrInUse)
	}
	return s, err
}

type imagePruneCmd struct {
	lockFlags
	DryRun    bool         `name:"dry-run" help:"Only say what would be removed."`
	All       bool         `name:"all" short:"a" help:"Also what was used lately, and what images in use were made from."`
	OlderThan durationFlag `name:"older-than" placeholder:"DURATION" default:"24h" help:"Keep what was used since."`
	JSON      bool         `name:"json" help:"Print JSON."`
}

func (c *imagePruneCmd) Run(call *call) error {
	s, err := c.open(call)
	if err != nil {
		return err
	}
	// What the stacks use is read while nobody can come to use anything.
	live, err := liveDigests(call.Layout())
	if err != nil {
		return err
	}
	i, err := takeInventory(call.Host, s)
	if err != nil {
		return err
	}
	before := call.Now().Add(-c.OlderThan.Duration)
	if c.All {
		before = call.Now().Add(time.Hour) // of any age, whatever the clocks say
	} else {
		live = append(live, i.inputs(live)...)
	}
	doomed := i.graph.Unneeded(live, before)
	if !c.DryRun {
		if err := errors.Join(s.Remove(doomed...), s.Sweep()); err != nil {
			return err
		}
	}
	return showRemoved(call, i, doomed, c.DryRun, c.JSON)
}

func (c *imagePruneCmd) open(call *call) (*store.Store, error) {
	if c.DryRun {
		return openStore(call.Host)
	}
	return openStoreAlone(call, c.lockFlags)
}

// inputs are what images are made from, of live ones: whoever changes a
// template builds its image from them again.
func (i storeInventory) inputs(live []sources.Digest) []sources.Digest {
	var inputs []sources.Digest
	for d := range i.graph.Needed(live...) {
		for _, input := range i.graph[d].Inputs {
			inputs = append(inputs, input)
		}
	}
	return inputs
}

func showRemoved(call *call, i storeInventory, removed []store.Entry, dryRun, asJSON bool) error {
	r := view.StoreRemoved{DryRun: dryRun}
	for _, e := range removed {
		r.Freed += e.Size
		r.Removed = append(r.Removed, i.row(e))
	}
	if asJSON {
		return view.StoreRemovedJSON(call.Out, r)
	}
	return view.StoreRemovedText(call.Out, call.outStyle(), call.Now(), r)
}

type imageRmCmd struct {
	lockFlags
	Image []string `arg:"" help:"Digests, beginnings of digests, or names that lkup image ls shows."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

func (c *imageRmCmd) Run(call *call) error {
	s, err := openStoreAlone(call, c.lockFlags)
	if err != nil {
		return err
	}
	live, err := liveDigests(call.Layout())
	if err != nil {
		return err
	}
	i, err := takeInventory(call.Host, s)
	if err != nil {
		return err
	}
	var targets []sources.Digest
	for _, name := range c.Image {
		e, err := i.find(name)
		if err != nil {
			return err
		}
		if err := i.free(e, name, live); err != nil {
			return err
		}
		targets = append(targets, e.Digest)
	}
	doomed := i.removable(targets, live)
	if err := s.Remove(doomed...); err != nil {
		return err
	}
	return showRemoved(call, i, doomed, false, c.JSON)
}

// free is an error if something needs e, and says what.
func (i storeInventory) free(e store.Entry, name string, live []sources.Digest) error {
	for _, d := range i.graph.Digests() {
		users := i.users[d]
		if len(users) > 0 && i.graph.Needed(d)[e.Digest] {
			return fmt.Errorf("%s is in use by stack %s; take the machines down with lkup down, and forget the generations with lkup history --prune 0", name, users[0].Text())
		}
	}
	if i.graph.Needed(live...)[e.Digest] {
		return fmt.Errorf("%s is in use: a stack's records or its lock file name it", name)
	}
	for _, d := range i.graph.Digests() {
		other := i.graph[d]
		if d != e.Digest && other.Kind.Named() && i.graph.Needed(d)[e.Digest] {
			return fmt.Errorf("%s is a part of %s; remove that first", name, lastOr(other.Names, d.Short()))
		}
	}
	return nil
}

func lastOr(names []string, otherwise string) string {
	if len(names) == 0 {
		return otherwise
	}
	return names[len(names)-1]
}

// removable are targets with the parts that only they need.
func (i storeInventory) removable(targets, live []sources.Digest) []store.Entry {
	going := i.graph.Needed(targets...)
	others := append([]sources.Digest{}, live...)
	for d := range i.graph {
		if !going[d] {
			others = append(others, d)
		}
	}
	kept := i.graph.Needed(others...)
	doomed := store.Graph{}
	for d := range going {
		if !kept[d] {
			doomed[d] = i.graph[d]
		}
	}
	return doomed.ReferrersFirst()
}
