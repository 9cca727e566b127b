package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
)

// screenLook is how often it is looked what runs.
const screenLook = time.Second

// screen is what lkup watch shows on a terminal.
type screen struct {
	*view.WatchScreen
	terminal *call // the terminal itself, for questions
	dir      string

	mu    sync.Mutex // guards paths
	paths *layout.Stack
}

// onScreen reports whether there is a terminal to have a screen on.
func (h Host) onScreen() bool {
	return h.TTY.Out && h.TTY.Err && h.Getenv("TERM") != "dumb"
}

// newScreen takes the terminal until close is called. The call that it gives
// writes to the screen.
func newScreen(c *call, dir string) (shown *screen, onIt *call, closed func()) {
	style := c.errStyle()
	s := &screen{terminal: c, dir: dir, WatchScreen: view.NewWatchScreen(c.Err, style.Color, func() (int, int) { return sizeOf(c.Err) }, c.Now)}
	s.Machines(view.Clean(dir), nil)
	on := *c
	on.Out, on.Err = s, s
	on.TTY = TTY{In: c.TTY.In}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	var group sync.WaitGroup
	group.Go(func() { s.follow(ctx) })
	s.Show()
	return s, &on, func() {
		cancel()
		group.Wait()
		s.Close()
	}
}

// follow shows what runs, and how large the terminal is, until ctx ends.
func (s *screen) follow(ctx context.Context) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	tick := time.NewTicker(screenLook)
	defer tick.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-resized:
			s.Redraw()
		case <-tick.C:
		}
	}
}

// of says which stack it is of.
func (s *screen) of(paths layout.Stack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = &paths
}

// look brings up to date what runs. What cannot be seen stays as it was.
func (s *screen) look(ctx context.Context) {
	s.mu.Lock()
	paths := s.paths
	s.mu.Unlock()
	if paths == nil {
		s.Redraw()
		return
	}
	host := s.terminal.Host
	known, err := state.Read(*paths)
	if err != nil {
		return
	}
	now, err := reconciler.Observe(ctx, known, *paths, allDrivers(host))
	if err != nil {
		return
	}
	s.Machines(known.Stack+"  "+view.Clean(s.dir), psRows(known, now, readHealth(*paths), host.Now()))
}

// execute carries out a plan on the screen. Where a person is to be asked
// first, they are, on the terminal as it was before.
func (s *screen) execute(c *applyFlags, onIt *call, x execution) error {
	if len(x.plan.Destroys()) > 0 && !c.AutoApprove && onIt.TTY.In {
		s.Hide()
		defer s.Show()
		return c.execute(s.terminal, x)
	}
	x.progress = func(plan *planner.Plan) view.Progress { return s.Progress(plan) }
	return c.execute(onIt, x)
}

// sizeOf is the terminal's, in columns and rows.
func sizeOf(w any) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return 80, 24
}
