package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/watcher"
)

// followedShare is a share that lies in a directory whose files are followed.
type followedShare struct {
	spec.Share
	host  string // absolute
	below string // the same, in the directory; "." is all of it
}

// followedShares are those of a stack's shares that lie in a directory. What is
// elsewhere nobody looks at but an apply.
func followedShares(project, dir string, shares []spec.Share) []followedShare {
	var all []followedShare
	for _, s := range shares {
		host := s.HostIn(project)
		if below, err := filepath.Rel(dir, host); err == nil && filepath.IsLocal(below) {
			all = append(all, followedShare{s, host, filepath.ToSlash(below)})
		}
	}
	return all
}

// copiedShares are the shares of the project that a guest has copies of.
func (f *follower) copiedShares(vm spec.VM) []followedShare {
	return slices.DeleteFunc(followedShares(f.dir, f.dir, vm.Shares), func(s followedShare) bool { return s.Way() != spec.ShareSync })
}

func (s followedShare) covers(name string) bool {
	return s.below == "." || strings.HasPrefix(name, s.below+"/")
}

// copied reports whether a file lies in a share that a guest has a copy of.
func (f *follower) copied(name string) bool {
	for _, shares := range f.copies {
		if slices.ContainsFunc(shares, func(s followedShare) bool { return s.covers(name) }) {
			return true
		}
	}
	return false
}

// mirror brings guests what changed in the shares that they have copies of: all
// of it the first time, and after a failure.
func (f *follower) mirror(changes []watcher.Change, all bool) {
	for _, a := range sortedKeys(f.copies) {
		var due []followedShare
		for _, s := range f.copies[a] {
			if all || f.late[a] || slices.ContainsFunc(changes, func(c watcher.Change) bool { return s.covers(c.Path) }) {
				due = append(due, s)
			}
		}
		if len(due) > 0 {
			f.late[a] = f.mirrorOne(a, due) != nil
		}
	}
}

func (f *follower) mirrorOne(a spec.Address, shares []followedShare) error {
	known, err := state.Read(f.paths)
	if err != nil {
		return err
	}
	i, there := known.Instances[a]
	if !there || !i.Created || !i.Applied.Running {
		return nil // it is given all when it runs
	}
	begun := f.call.Now()
	conn, err := f.reach(known, a)
	var failures []error
	for _, s := range shares {
		if err != nil {
			break
		}
		done, failed := conn.Mirror(f.call.ctx, s.host, s.Guest)
		if done.Changed() || failed != nil {
			f.say(view.WatchEvent{Kind: outcome("synced", failed), Address: a, Paths: []string{s.Guest}, Detail: done.String(), Took: f.call.Now().Sub(begun), Err: failed})
		}
		failures = append(failures, failed)
	}
	if err != nil {
		f.say(view.WatchEvent{Kind: "failed", Address: a, Took: f.call.Now().Sub(begun), Err: err})
	}
	if err = errors.Join(append(failures, err)...); err != nil {
		f.drop(a)
	}
	return err
}
