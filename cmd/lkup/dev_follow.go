package main

import (
	"context"
	"os"
	"sync"

	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/watcher"
)

// follow has the guest's own watchers hear of files of the project that people
// changed, and tells of them where the server is to be started again. It is
// ready once the guest is: who begins to watch there before may miss something.
func (s *serving) follow(ctx context.Context, changes chan []string, ready chan<- struct{}) {
	isReady := sync.OnceFunc(func() { close(ready) })
	defer isReady()
	if err := s.followFiles(ctx, changes, isReady); err != nil {
		s.unheard(ctx, err)
	}
}

func (s *serving) followFiles(ctx context.Context, changes chan []string, ready func()) error {
	wake, err := newWaker(s.work.host)
	if err != nil {
		return err
	}
	defer wake.close()
	root, err := os.OpenRoot(s.work.host)
	if err != nil {
		return err
	}
	defer root.Close()
	scanner := watcher.Scanner{Project: root.FS(), Skip: ownDirs(s.call.Layout(), s.work.host), ID: inode}
	seen, err := wake.settle(scanner, watcher.Snapshot{}, look{all: true}, nil)
	if err != nil {
		return err
	}
	own := s.call.ownOutput()
	r := s.repeating(ctx, root, own, seen)
	ready()
	for {
		at, more := wake.wait(ctx, false)
		if !more {
			return nil
		}
		now, err := wake.settle(scanner, seen, at, nil)
		if err != nil {
			return err
		}
		if r != nil {
			if _, err := r.repeat(ctx, seen, now); err != nil {
				s.unheard(ctx, err)
				r = nil
			}
		}
		if !s.server.Reloads {
			tell(changes, edited(seen, now, own))
		}
		seen = now
	}
}

// repeating is nil where nothing can be repeated.
func (s *serving) repeating(ctx context.Context, root *os.Root, own map[uint64]bool, seen watcher.Snapshot) *repeating {
	if len(s.shares) == 0 {
		return nil
	}
	r, err := beginRepeating(ctx, s.conn, root, own, s.shares, seen)
	if err != nil {
		s.unheard(ctx, err)
		return nil
	}
	return r
}

// unheard says why changes are not followed any more, unless nobody asks.
func (s *serving) unheard(ctx context.Context, err error) {
	if ctx.Err() == nil {
		view.Error(s.call.Err, s.call.errStyle(), err)
	}
}

// edited lists the sources that differ, but for files that this process writes.
func edited(before, now watcher.Snapshot, own map[uint64]bool) []string {
	var names []string
	for _, change := range watcher.Compare(before, now) {
		if devenv.Source(change.Path) && !own[now.Files[change.Path].ID] {
			names = append(names, change.Path)
		}
	}
	return names
}

// tell adds to what was told and not yet heard.
func tell(changes chan []string, names []string) {
	if len(names) == 0 {
		return
	}
	select {
	case earlier := <-changes:
		names = append(earlier, names...)
	default:
	}
	changes <- names
}
