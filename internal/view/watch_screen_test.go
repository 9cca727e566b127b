package view_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

// watched is a screen in the middle of things: three machines, some events, an
// apply that goes on.
func watched(columns, rows int) string {
	var out strings.Builder
	c := &clock{at: time.Date(2026, 1, 2, 14, 3, 4, 0, time.UTC)}
	s := view.NewWatchScreen(&out, false, func() (int, int) { return columns, rows }, c.now)
	s.Machines("shop  /home/ann/shop", []view.PsRow{
		{Address: "vm.db", Name: "db", Status: drivers.Running, Ready: true, Uptime: 3 * time.Minute},
		{Address: "vm.web", Name: "web", Status: drivers.Running, Uptime: 2 * time.Second, Ports: []spec.Port{{Address: "127.0.0.1", Host: 8080, Guest: 80, Protocol: "tcp"}}},
		{Address: "vm.worker", Name: "worker", Status: drivers.Stopped},
		{Address: "vm.other", Name: "other", Status: drivers.Stopped},
	})
	event := func(e view.WatchEvent) {
		c.at = c.at.Add(time.Second)
		e.Time = c.at
		s.Event(e)
	}
	event(view.WatchEvent{Kind: "watching", Detail: "/home/ann/shop"})
	event(view.WatchEvent{Kind: "changed", Paths: []string{"site/index.html", "lkup.hcl"}})
	fmt.Fprint(s, "  ~ vm.db  restart\n      memory  256MiB -> 384MiB\n")
	event(view.WatchEvent{Kind: "synced", Address: "vm.web", Paths: []string{"/srv/index.html"}, Took: 80 * time.Millisecond})
	event(view.WatchEvent{Kind: "ran", Address: "vm.web", Detail: "nginx -s reload \x1b[2J", Err: errors.New("it ended with exit status 1")})
	s.Doing("applying")
	plan, moments := story()
	p := s.Progress(plan)
	began := c.at
	for _, m := range moments[:14] {
		c.at = began.Add(m.after)
		p.Event(m.event)
	}
	out.Reset()
	s.Show()
	return strings.ReplaceAll(out.String(), "\x1b[K\r\n", "\n")
}

func TestTheWatchScreenFitsTheTerminal(t *testing.T) {
	for _, size := range [][2]int{{100, 30}, {60, 16}, {30, 6}, {20, 2}} {
		name := fmt.Sprintf("watch-screen-%dx%d.txt", size[0], size[1])
		screen := watched(size[0], size[1])
		golden(t, name, screen)
		if rows := strings.Count(screen, "\n") + 1; rows != size[1] {
			t.Errorf("%s has %d rows", name, rows)
		}
	}
}

func TestTheWatchScreenLeavesWhatHappened(t *testing.T) {
	var out strings.Builder
	c := &clock{at: time.Date(2026, 1, 2, 14, 3, 4, 0, time.UTC)}
	s := view.NewWatchScreen(&out, true, func() (int, int) { return 60, 5 }, c.now)
	s.Show()
	for n := range 20 {
		s.Event(view.WatchEvent{Time: c.at, Kind: "synced", Address: "vm.web", Paths: []string{fmt.Sprint("/srv/", n)}})
	}
	s.Hide()
	s.Redraw()
	_, hidden, _ := strings.Cut(out.String(), "\x1b[?1049l")
	if hidden != "" {
		t.Errorf("something is drawn while a question is asked: %q", hidden)
	}
	s.Show()
	out.Reset()
	s.Redraw()
	if out.Len() > 0 {
		t.Errorf("nothing changed, yet it was drawn: %q", out.String())
	}
	s.Close()
	golden(t, "watch-screen-left.txt", out.String())
}
