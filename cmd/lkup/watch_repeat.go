package main

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/watcher"
)

// repeating has a guest's own watchers hear of the host's changes of files that
// lie in its shares.
type repeating struct {
	root   *os.Root // that the shares lie in
	own    map[uint64]bool
	shares []followedShare
	to     *ssh.Repeater
	held   map[string]uint64 // directories, by the guest's path, with their IDs
}

// repeatedShares are those of a machine's shares whose changes can be repeated:
// what is copied the guest changes itself, and where it may change nothing, no
// watcher hears of anything.
func repeatedShares(project, dir string, shares []spec.Share) []followedShare {
	return slices.DeleteFunc(followedShares(project, dir, shares), func(s followedShare) bool {
		return s.ReadOnly || s.Way() != spec.Share9P && s.Way() != spec.ShareVirtiofs
	})
}

// inGuest is what the guest calls something in the share, or the share itself.
func (s followedShare) inGuest(name string) (string, bool) {
	if name == s.below {
		return s.Guest, true
	}
	return path.Join(s.Guest, strings.TrimPrefix(name, s.below+"/")), s.covers(name)
}

// beginRepeating has the guest keep the directories in mind that are there now.
// Of the files that own has the IDs of it says nothing.
func beginRepeating(ctx context.Context, conn *ssh.Conn, root *os.Root, own map[uint64]bool, shares []followedShare, now watcher.Snapshot) (*repeating, error) {
	to, err := conn.Repeater(ctx)
	if err != nil {
		return nil, err
	}
	r := &repeating{root: root, own: own, shares: shares, to: to, held: map[string]uint64{}}
	_, err = r.repeat(ctx, now, now)
	return r, err
}

// repeat tells the guest what differs between two snapshots, and returns how
// many changes its watchers could hear of.
func (r *repeating) repeat(ctx context.Context, before, now watcher.Snapshot) (int, error) {
	var what guest.Repeat
	what.Hold, what.Release = r.hold(now)
	for _, name := range watcher.Touched(before, now) {
		for _, s := range r.shares {
			if at, lies := s.inGuest(name); lies {
				what.Changed = append(what.Changed, r.changed(s, name, at)...)
			}
		}
	}
	if len(what.Hold)+len(what.Release)+len(what.Changed) == 0 {
		return 0, nil
	}
	return r.to.Repeat(ctx, what)
}

// hold says which directories the guest is to keep in mind from now on, and
// which not any more.
func (r *repeating) hold(now watcher.Snapshot) (hold, release []string) {
	wanted := map[string]uint64{}
	for name, id := range now.Dirs {
		for _, s := range r.shares {
			if at, lies := s.inGuest(name); lies {
				wanted[at] = id
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(wanted)) {
		if id, there := r.held[dir]; !there || id != wanted[dir] {
			hold = append(hold, dir)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(r.held)) {
		if _, still := wanted[dir]; !still {
			release = append(release, dir)
		}
	}
	r.held = wanted
	return hold, release
}

// changed describes a file as it is at this moment, if it still is there.
func (r *repeating) changed(s followedShare, name, at string) []guest.Changed {
	info, err := r.root.Lstat(name)
	if err != nil || r.own[inode(info)] {
		return nil
	}
	// A share that lkup serves lets a time be set to what it is, to the second,
	// and virtiofs knows it exactly.
	byTime := s.Way() == spec.ShareVirtiofs || len(s.Protected()) > 0
	return []guest.Changed{{Path: at, Mode: unixMode(info), Modified: info.ModTime().UnixNano(), ByTime: byTime}}
}

// unixMode is a file's mode as chmod has it.
func unixMode(info fs.FileInfo) uint32 {
	mode := uint32(info.Mode().Perm())
	for bit, number := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if info.Mode()&bit != 0 {
			mode |= number
		}
	}
	return mode
}

// ownOutput are the files that this process writes to. To follow one of them
// would be to follow oneself.
func (h Host) ownOutput() map[uint64]bool {
	own := map[uint64]bool{}
	for _, w := range []any{h.Out, h.Err} {
		if f, isFile := w.(*os.File); isFile {
			if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
				own[inode(info)] = true
			}
		}
	}
	return own
}

// toldFiles are the files of which a machine's watchers have heard, in one run
// of it.
type toldFiles struct {
	run   string
	files watcher.Snapshot
	err   bool // it could not be told, and that was said
}

// repeats reports whether a file lies in a share whose changes are repeated.
func (f *follower) repeats(name string) bool {
	return !f.own[f.seen.Files[name].ID] && slices.ContainsFunc(f.repeated, func(s followedShare) bool { return s.covers(name) })
}

// repeat tells all machines what has changed in their shares since they were
// told last. In a run that has been told nothing, nothing has changed.
func (f *follower) repeat() {
	if f.last == nil {
		return
	}
	known, err := state.Read(f.paths)
	if err != nil {
		f.failed(err, 0)
		return
	}
	for _, a := range sortedKeys(known.Instances) {
		i := known.Instances[a]
		shares := repeatedShares(f.dir, f.dir, i.Applied.Shares)
		if len(shares) == 0 || !i.Created || !i.Applied.Running || !i.Enterable() {
			continue
		}
		begun, told := f.call.Now(), f.told[a]
		if run := runOf(i); told.run != run {
			told = toldFiles{run: run, files: f.seen}
		}
		n, err := f.repeatTo(known, a, shares, told.files)
		if f.call.ctx.Err() != nil {
			return // Ctrl-C is how one leaves
		}
		if took := f.call.Now().Sub(begun); n > 0 {
			f.say(view.WatchEvent{Kind: "repeated", Address: a, Detail: view.Count(n, "change") + " for its watchers", Took: took})
		} else if err != nil && !told.err {
			f.say(view.WatchEvent{Kind: "failed", Address: a, Took: took, Err: err})
		}
		f.told[a] = toldFiles{run: told.run, files: f.seen, err: err != nil}
	}
}

func (f *follower) repeatTo(known state.State, a spec.Address, shares []followedShare, before watcher.Snapshot) (int, error) {
	l, there := f.lines[a]
	if there && l.run == runOf(known.Instances[a]) && l.repeating != nil && len(watcher.Touched(before, f.seen)) == 0 {
		return 0, nil // nobody has to be asked whether they are there
	}
	conn, err := f.reach(known, a)
	if err != nil {
		return 0, err
	}
	if l = f.lines[a]; l.repeating == nil {
		if l.repeating, err = beginRepeating(f.call.ctx, conn, f.root, f.own, shares, f.seen); err == nil {
			f.lines[a] = l
		}
	}
	n := 0
	if err == nil {
		n, err = l.repeating.repeat(f.call.ctx, before, f.seen)
	}
	if err != nil {
		f.drop(a)
	}
	return n, err
}
