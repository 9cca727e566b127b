package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/volume"
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

// tolerant puts a QEMU first that is not killed, but told, when it writes
// further into a file than it may: as it is told of a disk that is full.
func tolerant(ts *testscript.TestScript, _ bool, _ []string) {
	dir := ts.MkAbs("tolerant")
	ts.Check(os.MkdirAll(dir, 0o755))
	for _, name := range []string{"qemu-system-x86_64", "qemu-system-aarch64"} {
		real, err := exec.LookPath(name)
		if err != nil {
			continue // this host runs the other one
		}
		script := "#!/bin/sh\ntrap '' XFSZ\nexec " + real + " \"$@\"\n"
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	ts.Setenv("PATH", dir+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// limitFiles ADDRESS BYTES is how far a machine's process may write into a file.
func limitFiles(ts *testscript.TestScript, _ bool, args []string) {
	pid := strconv.Itoa(rowOf(ts, args[0]).PID)
	ts.Check(ts.Exec("prlimit", "--pid", pid, "--fsize="+args[1]+":"))
}

// checkVolume NAME demands that the file system of a volume, or in a file, is
// sound.
func checkVolume(ts *testscript.TestScript, _ bool, args []string) {
	disk := ts.MkAbs(args[0])
	if _, err := os.Stat(disk); err != nil {
		disk = diskOf(ts, args[0])
	}
	program, err := volume.Disks{LookPath: exec.LookPath}.Formatter()
	ts.Check(err)
	// A guest that was killed leaves a journal to be replayed; that is sound.
	output, err := exec.Command(filepath.Join(filepath.Dir(program), "e2fsck"), "-f", "-p", disk).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		ts.Fatalf("%v: %s", err, output)
	}
}
