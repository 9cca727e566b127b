package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/lkup/lkup/watcher"
)

// Files are looked at when nothing has happened for quiet, or after the
// longest wait, whichever comes first.
const (
	quiet       = 50 * time.Millisecond
	longestWait = time.Second
)

// waker says when it is time to look at a project's files again, and where.
type waker struct {
	dir    string
	events *fsnotify.Watcher
	dirs   map[string]uint64 // that are listened to, with their IDs
	more   chan struct{}     // something was added to told
	ended  chan struct{}

	mu   sync.Mutex // guards told
	told told
}

// told is what the operating system said. The operations of one path are joined.
type told struct {
	lost bool // some events were
	ops  map[string]fsnotify.Op
}

// look says where something happened.
type look struct {
	all  bool
	dirs []string
}

func newWaker(dir string) (*waker, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &waker{dir: dir, events: events, dirs: map[string]uint64{}, more: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.hear()
	return w, nil
}

func (w *waker) close() {
	_ = w.events.Close() // nothing is lost by it
	<-w.ended
}

// hear takes events as they come, also while nobody waits for them: they must
// not fill up the system's queue, and the watcher holds its lock until an error
// is taken from it.
func (w *waker) hear() {
	defer close(w.ended)
	for {
		select {
		case e, open := <-w.events.Events:
			if !open {
				return
			}
			w.add(func(t *told) { t.ops[e.Name] |= e.Op })
		case _, open := <-w.events.Errors: // such as too many events at once
			if !open {
				return
			}
			w.add(func(t *told) { t.lost = true })
		}
	}
}

func (w *waker) add(to func(*told)) {
	w.mu.Lock()
	if w.told.ops == nil {
		w.told.ops = map[string]fsnotify.Op{}
	}
	to(&w.told)
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *waker) take() told {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.told
	w.told = told{}
	return t
}

// listen makes the directories of a snapshot the ones that are listened to,
// and returns those that are new: something may have happened in them before.
func (w *waker) listen(dirs map[string]uint64) (added []string, err error) {
	for name, id := range w.dirs {
		if now, there := dirs[name]; !there || now != id {
			w.forget(name)
		}
	}
	for name, id := range dirs {
		if _, known := w.dirs[name]; known {
			continue
		}
		if addErr := w.events.Add(filepath.Join(w.dir, name)); addErr != nil {
			if !errors.Is(addErr, fs.ErrNotExist) { // else it went as quickly as it came
				err = fmt.Errorf("watch %s: %w; if that is a limit, raise fs.inotify.max_user_watches", name, addErr)
			}
			continue
		}
		w.dirs[name] = id
		added = append(added, name)
	}
	return added, err
}

func (w *waker) forget(name string) {
	_ = w.events.Remove(filepath.Join(w.dir, name)) // it may have gone by itself
	delete(w.dirs, name)
}

// place says where to look. A directory that went, or went and came back, maybe
// under its old ID, is not listened to any more, nor are those below.
func (w *waker) place(t told) look {
	l, dirs := look{all: t.lost}, map[string]bool{}
	for at, ops := range t.ops {
		name, err := filepath.Rel(w.dir, at)
		if err != nil || !filepath.IsLocal(name) {
			l.all = true
			continue
		}
		name = filepath.ToSlash(name)
		dirs[path.Dir(name)] = true
		if ops&(fsnotify.Remove|fsnotify.Rename|fsnotify.Create) == 0 {
			continue
		}
		for _, dir := range slices.Collect(maps.Keys(w.dirs)) {
			if name == "." || dir == name || strings.HasPrefix(dir, name+"/") {
				dirs[dir] = true
				w.forget(dir)
			}
		}
	}
	l.dirs = slices.Sorted(maps.Keys(dirs))
	return l
}

// wait returns where something happened, once the files have come to rest;
// false if ctx ended. With owed, a look at everything is due when nothing
// happens for a while.
func (w *waker) wait(ctx context.Context, owed bool) (look, bool) {
	var due <-chan time.Time
	if owed {
		timer := time.NewTimer(longestWait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return look{}, false
	case <-due:
		l := w.place(w.take())
		l.all = true
		return l, true
	case <-w.more:
	}
	longest := time.NewTimer(longestWait)
	defer longest.Stop()
	rest := time.NewTimer(quiet)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return look{}, false
		case <-w.more:
			rest.Reset(quiet)
			continue
		case <-rest.C:
		case <-longest.C:
		}
		return w.place(w.take()), true
	}
}

// settle looks until every directory that is there is listened to.
func (w *waker) settle(s watcher.Scanner, seen watcher.Snapshot, l look, also []string) (watcher.Snapshot, error) {
	for {
		var err error
		if l.all {
			seen, err = s.Scan(also)
		} else {
			seen, err = s.Again(seen, l.dirs, also)
		}
		if err != nil {
			return seen, err
		}
		added, err := w.listen(seen.Dirs)
		if err != nil || len(added) == 0 {
			return seen, err
		}
		l = look{dirs: added}
	}
}
