//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// runtime is runtime.json: what LinuxKit has its init do around runc.
type runtime struct {
	Cgroups []string       `json:"cgroups"`
	Mounts  []runtimeMount `json:"mounts"`
	Mkdir   []string       `json:"mkdir"`
}

type runtimeMount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options"`
}

// prepare does what runtime.json says, and gives the container the VM's
// environment.
func (m *machine) prepare(bundle string) error {
	content, err := os.ReadFile(filepath.Join(bundle, "runtime.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var r runtime
	if len(content) > 0 {
		if err := json.Unmarshal(content, &r); err != nil {
			return fmt.Errorf("read runtime.json: %w", err)
		}
	}
	for _, mount := range r.Mounts {
		if mount.Type == "overlay" {
			m.modules.load("overlay")
		}
		if err := mount.do(); err != nil {
			return err
		}
	}
	// After the mounts, so that a directory can be made in one of them.
	for _, dir := range r.Mkdir {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return m.addEnv(filepath.Join(bundle, "config.json"))
}

// options that are flags of the mount call; others go to the file system.
var mountFlags = map[string]uintptr{
	"bind": unix.MS_BIND, "rbind": unix.MS_BIND | unix.MS_REC, "ro": unix.MS_RDONLY, "rw": 0,
	"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC, "relatime": unix.MS_RELATIME,
	"noatime": unix.MS_NOATIME, "strictatime": unix.MS_STRICTATIME, "remount": unix.MS_REMOUNT,
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC, "shared": unix.MS_SHARED,
	"rshared": unix.MS_SHARED | unix.MS_REC, "slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
}

const propagation = unix.MS_PRIVATE | unix.MS_SHARED | unix.MS_SLAVE

func (r runtimeMount) do() error {
	var flags uintptr
	var data []string
	for _, option := range r.Options {
		if flag, known := mountFlags[option]; known {
			flags |= flag
		} else {
			data = append(data, option)
		}
	}
	if r.Type == "overlay" {
		if err := makeOverlayDirs(data); err != nil {
			return err
		}
	}
	// A change of propagation takes no other flag than recursion.
	if flags&propagation != 0 {
		flags &= propagation | unix.MS_REC
	}
	return mount{r.Source, r.Destination, r.Type, flags, strings.Join(data, ",")}.do()
}

// makeOverlayDirs makes the directories that an overlay writes to. They lie in
// a file system that was mounted just before, so no image can bring them.
func makeOverlayDirs(options []string) error {
	for _, option := range options {
		name, dir, _ := strings.Cut(option, "=")
		if name == "upperdir" || name == "workdir" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// addEnv adds the VM's environment to a container's.
func (m *machine) addEnv(path string) error {
	env := m.settings()
	if len(env) == 0 {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber() // limits of 64 bits stay what they are
	if err := decoder.Decode(&config); err != nil {
		return fmt.Errorf("read config.json: %w", err)
	}
	process, isObject := config["process"].(map[string]any)
	if !isObject {
		return errors.New("config.json has no process")
	}
	list, _ := process["env"].([]any)
	for _, entry := range env {
		list = append(list, entry)
	}
	process["env"] = list
	content, err = json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
