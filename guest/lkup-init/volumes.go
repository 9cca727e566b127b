//go:build linux

package main

import (
	"os"
	"path/filepath"
)

// volumes is where LinuxKit puts volumes: for each lower, what its image has,
// tmp, for what is written to it, and merged, where both are seen.
const volumes = "/containers/volumes"

// mountVolumes makes the volumes ready before the first container.
func (m *machine) mountVolumes() {
	for _, name := range bundles(volumes) {
		m.try("mount the volume "+name, m.mountVolume(filepath.Join(volumes, name)))
	}
}

func (m *machine) mountVolume(dir string) error {
	if _, err := os.Stat(dir + "/tmp"); err != nil {
		return runtimeMount{Source: dir + "/lower", Destination: dir + "/merged", Options: []string{"bind", "ro"}}.do()
	}
	m.modules.load("overlay")
	if err := (runtimeMount{Source: "tmpfs", Destination: dir + "/tmp", Type: "tmpfs"}).do(); err != nil {
		return err
	}
	return runtimeMount{Source: "overlay", Destination: dir + "/merged", Type: "overlay", Options: []string{
		"lowerdir=" + dir + "/lower", "upperdir=" + dir + "/tmp/upper", "workdir=" + dir + "/tmp/work",
	}}.do()
}
