package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// untouched is how much memory a command may have before any is collected,
	// in bytes. Commands are short-lived: most, and a plan of a thousand
	// machines, end below it.
	untouched = 48 << 20
	// growth is how far the heap may grow after that beyond what lives before
	// it is collected again, in percent: little, so that a plan of ten thousand
	// machines stays below 100 MiB.
	growth = 60
)

// tuneMemory is for commands that end soon; GOGC overrides it.
func tuneMemory() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(untouched)
	runtime.AddCleanup(new([16]byte), func(struct{}) { steadyMemory() }, struct{}{})
}

// steadyMemory is for commands that stay.
func steadyMemory() {
	debug.SetGCPercent(growth)
	debug.SetMemoryLimit(math.MaxInt64)
}
