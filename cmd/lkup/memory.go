package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How far the heap may grow beyond what lives before it is collected, in
// percent: far while it is small, because lkup is short-lived and a plan of a
// thousand machines is a fifth faster for it; little once it is not, so that a
// plan of ten thousand stays below 100 MiB.
const (
	smallGrowth = 400
	largeGrowth = 60
	large       = 12 << 20 // bytes that live
)

// tuneMemory sets the growth, unless GOGC does.
func tuneMemory() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(smallGrowth)
	afterCollection(func() bool {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if live[0].Value.Uint64() < large {
			return true
		}
		debug.SetGCPercent(largeGrowth)
		return false
	})
}

// afterCollection calls f after each garbage collection, as long as it says so.
func afterCollection(f func() (again bool)) {
	runtime.AddCleanup(new([16]byte), func(struct{}) {
		if f() {
			afterCollection(f)
		}
	}, struct{}{})
}
