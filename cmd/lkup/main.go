// Command lkup is compose for virtual machines. This package parses flags,
// wires the packages together, asks the user, and chooses exit statuses. It
// decides nothing about machines and formats nothing: see planner and
// internal/view.
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/term"
)

// version is set by the Makefile.
var version = "0.1.0-dev"

// gcPercent lets the heap grow to five times what lives before it is
// collected: lkup is short-lived, and a plan of a thousand machines is a fifth
// faster for it.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	home, _ := os.UserHomeDir()
	os.Exit(run(os.Args[1:], Host{
		In:      os.Stdin,
		Out:     os.Stdout,
		Err:     os.Stderr,
		Getenv:  os.Getenv,
		Environ: os.Environ(),
		Home:    home,
		TempDir: os.TempDir(),
		UID:     os.Getuid(),
		Now:     time.Now,
		Arch:    runtime.GOARCH,
		TTY: TTY{
			In:  term.IsTerminal(int(os.Stdin.Fd())),
			Out: term.IsTerminal(int(os.Stdout.Fd())),
			Err: term.IsTerminal(int(os.Stderr.Fd())),
		},
	}))
}
