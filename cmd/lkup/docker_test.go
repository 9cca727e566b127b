package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// dockerClientOf has a script find the ordinary docker: this computer's, or the
// one of its distribution's packages, which is not installed but unpacked.
func dockerClientOf(cache string) func(ts *testscript.TestScript, _ bool, _ []string) {
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		if _, err := exec.LookPath("docker"); err == nil {
			return
		}
		dir := filepath.Join(cache, "docker-client")
		if _, err := os.Stat(filepath.Join(dir, "usr", "bin", "docker")); err != nil {
			ts.Check(unpackDocker(dir))
		}
		ts.Setenv("PATH", filepath.Join(dir, "usr", "bin")+string(filepath.ListSeparator)+ts.Getenv("PATH"))
	}
}

// unpackDocker unpacks docker-cli, which older distributions have in docker.io.
func unpackDocker(dir string) error {
	scratch, err := os.MkdirTemp("", "docker")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	cmd := exec.Command("sh", "-ec", `apt-get -q download docker-cli || apt-get -q download docker.io; dpkg-deb -x docker*.deb "$0"`, dir)
	cmd.Dir, cmd.Stderr = scratch, os.Stderr
	return cmd.Run()
}
