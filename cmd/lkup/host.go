package main

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
)

// Host is what the computer gives to one run of lkup. Commands read the
// environment, the clock and the streams from here and nowhere else.
type Host struct {
	In       io.Reader
	Out, Err io.Writer
	TTY      TTY
	Getenv   func(string) string
	Environ  []string
	Home     string
	TempDir  string
	UID      int
	Arch     string // GOARCH of the host, and so of its guests
	Now      func() time.Time
	// Program is lkup's own file, which is run as the supervisor; without it
	// machines are not supervised.
	Program string
	// Size is what the computer has; nil if it is not known.
	Size func() planner.Host
	// AutoDriver is what driver = "auto" means here; nil is QEMU.
	AutoDriver func() string
	// MoreDrivers adds drivers that the released binary does not have; tests
	// bring the fake one.
	MoreDrivers func(layout.Layout) map[string]drivers.Driver
}

// TTY says which streams are terminals.
type TTY struct{ In, Out, Err bool }

// Layout is where lkup keeps things on this host.
func (h Host) Layout() layout.Layout {
	return layout.New(h.Getenv, h.Home, h.TempDir, h.UID)
}

func (h Host) autoDriver() string {
	if h.AutoDriver == nil {
		return "qemu"
	}
	return h.AutoDriver()
}

// size is what machines can have of this host.
func (h Host) size() planner.Host {
	if h.Size == nil {
		return planner.Host{}
	}
	return h.Size()
}

// outStyle is how to write results, errStyle how to write progress and errors.
func (h Host) outStyle() view.Style { return h.style(h.TTY.Out, h.Out) }
func (h Host) errStyle() view.Style { return h.style(h.TTY.Err, h.Err) }

func (h Host) style(tty bool, w io.Writer) view.Style {
	if !tty {
		return view.Style{}
	}
	return view.Style{
		Color: h.Getenv("NO_COLOR") == "" && h.Getenv("TERM") != "dumb",
		Width: width(w),
	}
}

// width is the terminal's, in columns; 80 if it does not say.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}
