package qemu

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// TestADirectoryGivesVirtiofsdNoOptions: a comma in the path of the project is
// seen only when the share is to be served.
func TestADirectoryGivesVirtiofsdNoOptions(t *testing.T) {
	program := filepath.Join(t.TempDir(), "virtiofsd")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := New(Settings{LookPath: func(string) (string, error) { return program, nil }})
	m := drivers.Machine{Dir: t.TempDir(), RunDir: t.TempDir(), Shares: []drivers.Share{
		{Tag: "share0", Host: "/srv/a,cache=always,xattr", Guest: "/srv", Type: spec.ShareVirtiofs},
	}}
	ends, err := d.serveVirtiofs(m)
	if !errors.Is(err, errComma) || len(ends) != 0 {
		closeAll(ends)
		t.Errorf("served: %d, %v", len(ends), err)
	}
	if left, err := os.ReadDir(m.RunDir); err != nil || len(left) != 0 {
		t.Errorf("its socket is there: %v, %v", left, err)
	}
}
