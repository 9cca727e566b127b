package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lkup/lkup/internal/state"
)

// diskOf is the disk of a volume of the script's only stack.
func diskOf(ts *testscript.TestScript, name string) string {
	files, err := filepath.Glob(filepath.Join(ts.Getenv("LKUP_STATE_DIR"), "stacks", "*", "volumes", "*", "manifest.json"))
	ts.Check(err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		ts.Check(err)
		var v state.Volume
		ts.Check(json.Unmarshal(content, &v))
		if v.Name == name {
			return filepath.Join(filepath.Dir(file), v.File())
		}
	}
	ts.Fatalf("there is no volume %s", name)
	return ""
}

// writeVolume NAME TEXT writes to a volume as a guest would.
func writeVolume(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(diskOf(ts, args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt([]byte(args[1]+strings.Repeat(" ", 20-len(args[1]))), 0)
	ts.Check(err)
	ts.Check(f.Close())
}

// volumeHolds NAME TEXT demands what writeVolume wrote.
func volumeHolds(ts *testscript.TestScript, _ bool, args []string) {
	content, err := os.ReadFile(diskOf(ts, args[0]))
	ts.Check(err)
	if got := strings.TrimSpace(string(content[:20])); got != args[1] {
		ts.Fatalf("%s holds %q, want %q", args[0], got, args[1])
	}
}

// isNow FILE SECONDS demands that a file holds the time of now, in seconds
// since 1970, give or take some.
func isNow(ts *testscript.TestScript, _ bool, args []string) {
	seconds, err := strconv.ParseInt(strings.TrimSpace(ts.ReadFile(args[0])), 10, 64)
	ts.Check(err)
	most, err := strconv.Atoi(args[1])
	ts.Check(err)
	if behind := time.Since(time.Unix(seconds, 0)).Abs(); behind > time.Duration(most)*time.Second {
		ts.Fatalf("the clock is %s away from now", behind)
	}
}

// killedIn SECONDS COMMAND... kills a command with -9 some time after it began,
// unless it has ended by then.
func killedIn(ts *testscript.TestScript, _ bool, args []string) {
	seconds, err := strconv.ParseFloat(args[0], 64)
	ts.Check(err)
	_ = ts.Exec("timeout", append([]string{"-s", "KILL", strconv.FormatFloat(seconds, 'f', 3, 64)}, args[1:]...)...)
}
