package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/watcher"
)

// givenFiles are what a guest was given in one run of its machine. A restart may
// have taken all of it away.
type givenFiles struct {
	run   string
	files map[string]watcher.Entry // by the guest's path
}

// sync brings every guest what it lacks. What fails is tried again when
// something changes.
func (f *follower) sync() {
	for _, a := range sortedKeys(f.follow.VMs) {
		begun := f.call.Now()
		paths, err := f.syncOne(a)
		if err == nil && len(paths) == 0 {
			continue
		}
		f.say(view.WatchEvent{Kind: outcome("synced", err), Address: a, Paths: paths, Took: f.call.Now().Sub(begun), Err: err})
	}
}

func outcome(kind string, err error) string {
	if err != nil {
		return "failed"
	}
	return kind
}

func (f *follower) syncOne(a spec.Address) (done []string, err error) {
	known, err := state.Read(f.paths)
	if err != nil {
		return nil, err
	}
	i, there := known.Instances[a]
	if !there || !i.Created || !i.Applied.Running {
		return nil, nil // it is given all when it runs
	}
	sent := f.sent[a]
	if run := runOf(i); sent.run != run {
		sent = givenFiles{run: run, files: map[string]watcher.Entry{}}
		f.sent[a] = sent
	}
	copies, gone := watcher.Pending(f.follow.VMs[a], f.seen, sent.files)
	if len(copies)+len(gone) == 0 {
		return nil, nil
	}
	client, err := f.reachFiles(known, a)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.drop(a)
		}
	}()
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// A connection that hangs ends with Ctrl-C.
	stop := context.AfterFunc(f.call.ctx, func() { _ = client.Close() })
	defer stop()
	f.doing("syncing " + string(a))
	t := transfer{root: root, client: client, made: map[string]bool{}}
	for _, to := range gone {
		if err := t.remove(to); err != nil {
			return done, fmt.Errorf("delete %s in %s: %w", to, a, err)
		}
		delete(sent.files, to)
		done = append(done, to)
	}
	for _, c := range copies {
		if err := t.copy(c, f.seen.Files[c.From]); err != nil {
			return done, fmt.Errorf("copy %s to %s in %s: %w", c.From, c.To, a, err)
		}
		sent.files[c.To] = f.seen.Files[c.From]
		done = append(done, c.To)
	}
	return done, nil
}

// transfer copies files of a directory into a guest.
type transfer struct {
	root   *os.Root
	client *sftp.Client
	made   map[string]bool // directories that are there
}

// remove deletes what was copied. Directories stay.
func (t transfer) remove(to string) error {
	if err := t.client.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// copy puts a file into its place at once: a reader sees the old content or
// the new. A file that vanished meanwhile is left to the next look.
func (t transfer) copy(c watcher.Copy, e watcher.Entry) error {
	if dir := path.Dir(c.To); !t.made[dir] {
		if err := t.client.MkdirAll(dir); err != nil {
			return err
		}
		t.made[dir] = true
	}
	beside := path.Join(path.Dir(c.To), ".lkup-"+path.Base(c.To))
	err := t.put(c.From, beside, e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.client.PosixRename(beside, c.To)
}

func (t transfer) put(from, to string, e watcher.Entry) error {
	if e.Mode.Type() == fs.ModeSymlink {
		target, err := t.root.Readlink(from)
		if err != nil {
			return err
		}
		if err := t.client.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return t.client.Symlink(target, to)
	}
	in, err := t.root.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := t.client.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return t.client.Chmod(to, e.Mode.Perm())
}
