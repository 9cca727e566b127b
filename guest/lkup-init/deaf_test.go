//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDeafReadsTheSignalMasks(t *testing.T) {
	tests := []struct {
		name, status string
		want         bool
	}{
		{"no handler", "Name:\thttpd\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000010000\n", true},
		{"a handler for SIGTERM", "SigIgn:\t0000000000000000\nSigCgt:\t0000000000004000\n", false},
		{"SIGTERM ignored on purpose", "SigIgn:\t0000000000004000\nSigCgt:\t0000000000000000\n", false},
		{"not a status", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := deaf(tt.status, unix.SIGTERM); got != tt.want {
				t.Errorf("deaf is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestKillDeafEndsAChildWithoutAHandler(t *testing.T) {
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	if children := childrenOf(os.Getpid()); !slices.Contains(children, child.Process.Pid) {
		t.Fatalf("children of this process are %v, without %d", children, child.Process.Pid)
	}
	killDeaf(childrenOf(os.Getpid()))
	if got := fmt.Sprint(child.Wait()); got != "signal: killed" {
		t.Errorf("the child ended with %q", got)
	}
}
