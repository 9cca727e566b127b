package main

import (
	"path/filepath"
	"slices"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lkup/lkup/internal/process"
)

// fileServersRun waits until so many processes serve the script's project.
func fileServersRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fileservers NUMBER")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	eventually(ts, args[0]+" processes that serve files", func() bool {
		found, err := process.Find(filepath.Join(ts.Getenv("WORK"), "project"))
		ts.Check(err)
		found = slices.DeleteFunc(found, func(i process.Identity) bool {
			words, err := process.CommandLine(i.PID)
			return err != nil || len(words) < 2 || words[1] != filesCommand
		})
		return len(found) == want
	})
}

// virtiofsdRun waits until so many virtiofsd serve a directory of the script. One
// is two processes, of which the first waits for the second.
func virtiofsdRun(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	eventually(ts, args[0]+" daemons for "+args[1], func() bool {
		found := processesThat(func(words []string, _ string) bool {
			return filepath.Base(words[0]) == "virtiofsd" && slices.Contains(words, "source="+ts.MkAbs(args[1]))
		})
		return min(len(found), 1) == want
	})
}
