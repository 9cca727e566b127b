package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/lkup/lkup/watcher"
)

// Files are looked at when nothing has happened for quiet, or after the
// longest wait, whichever comes first.
const (
	quiet       = 100 * time.Millisecond
	longestWait = time.Second
)

// waker says when it is time to look at a project's files again.
type waker struct {
	dir    string
	events *fsnotify.Watcher
	dirs   map[string]uint64 // that are listened to, with their IDs
}

func newWaker(dir string) (*waker, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return &waker{dir: dir, events: events, dirs: map[string]uint64{}}, nil
}

func (w *waker) close() { _ = w.events.Close() } // nothing is lost by it

// listen makes the directories of a snapshot the ones that are listened to.
// more says that some are new, in which something may have happened before.
func (w *waker) listen(dirs map[string]uint64) (more bool, err error) {
	for name, id := range w.dirs {
		if now, there := dirs[name]; !there || now != id {
			_ = w.events.Remove(filepath.Join(w.dir, name)) // it may have gone by itself
			delete(w.dirs, name)
		}
	}
	for name, id := range dirs {
		if _, known := w.dirs[name]; known {
			continue
		}
		if addErr := w.events.Add(filepath.Join(w.dir, name)); addErr != nil {
			err = fmt.Errorf("watch %s: %w; if that is a limit, raise fs.inotify.max_user_watches", name, addErr)
			continue
		}
		w.dirs[name] = id
		more = true
	}
	return more, err
}

// wait returns when something happened and the files have come to rest; false
// if ctx ended.
func (w *waker) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-w.events.Events:
	case <-w.events.Errors: // too many events at once: all the more reason to look
	}
	longest := time.NewTimer(longestWait)
	defer longest.Stop()
	rest := time.NewTimer(quiet)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-w.events.Events:
			rest.Reset(quiet)
		case <-w.events.Errors:
		case <-rest.C:
			return true
		case <-longest.C:
			return true
		}
	}
}

// settle scans until every directory that is there is listened to.
func (w *waker) settle(scan func() (watcher.Snapshot, error)) (watcher.Snapshot, error) {
	for {
		now, err := scan()
		if err != nil {
			return now, err
		}
		more, err := w.listen(now.Dirs)
		if err != nil || !more {
			return now, err
		}
	}
}
