package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// watchedForRaces are the boot scripts whose lkup runs under the race detector
// where this test does: those in which it does most at once. The others are to
// show that guests do what they should, and build the larger images.
var watchedForRaces = []string{"crash", "hello", "networks", "restart"}

// plainLkup makes a directory with a lkup that is this test's, but for the race
// detector. It is "" where this test runs without that itself.
func plainLkup(t *testing.T) string {
	if !raceDetector {
		return ""
	}
	dir := t.TempDir()
	// The flags are make's: what it has compiled is not compiled again.
	build := exec.Command("go", "test", "-c", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, "lkup"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, said)
	}
	return dir
}

// lkupFor is the directory with the lkup for a script; "" is this test's own.
func lkupFor(script, plain string) string {
	if slices.Contains(watchedForRaces, script) {
		return ""
	}
	return plain
}
