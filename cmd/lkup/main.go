// Command lkup is compose for virtual machines. This package parses flags,
// wires the packages together, asks the user, and chooses exit statuses. It
// decides nothing about machines and formats nothing: see planner and
// internal/view.
package main

import (
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/lkup/lkup/drivers/hyperkit"
	"github.com/lkup/lkup/planner"
)

// version is set by the Makefile.
var version = "0.1.0-dev"

func main() {
	home, _ := os.UserHomeDir()
	program, _ := os.Executable()
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
		Program: program,
		Arch:    runtime.GOARCH,
		Size:    func() planner.Host { return planner.Host{CPUs: runtime.NumCPU(), Memory: memoryOfHost()} },
		AutoDriver: sync.OnceValue(func() string {
			if hyperkit.Chosen(runtime.GOOS, runtime.GOARCH, nil) {
				return "hyperkit"
			}
			return "qemu"
		}),
		TTY: TTY{
			In:  term.IsTerminal(int(os.Stdin.Fd())),
			Out: term.IsTerminal(int(os.Stdout.Fd())),
			Err: term.IsTerminal(int(os.Stderr.Fd())),
		},
	}))
}
