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
	untouched = 72 << 20
	// growth is how far the heap may grow after that beyond what lives before
	// it is collected again, in percent: little, so that a plan of ten thousand
	// machines stays below 100 MiB.
	growth = 40
)

// tuneMemory is for commands that end soon; GOGC overrides it. Those that make
// much begin with a roomy heap.
func tuneMemory(much bool) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(untouched)
	if !much {
		afterCollection(steadyMemory)
		return
	}
	roomyHeap()
	runtime.GC() // now: beside what follows, it would come too late for most of that
	afterCollection(steadyMemory)
}

// afterCollection calls f after the next garbage collection.
func afterCollection(f func()) {
	runtime.AddCleanup(new([16]byte), func(struct{}) { f() }, struct{}{})
}

// steadyMemory is for commands that stay.
func steadyMemory() {
	debug.SetGCPercent(growth)
	debug.SetMemoryLimit(math.MaxInt64)
}
