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
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// runtime is runtime.json: what LinuxKit has its init do around runc. Its
// "namespace" is one of containerd's, and means nothing to runc.
type runtime struct {
	Cgroups    []string          `json:"cgroups"`
	Mounts     []runtimeMount    `json:"mounts"`
	Mkdir      []string          `json:"mkdir"`
	Interfaces []netdev          `json:"interfaces"`
	BindNS     map[string]string `json:"bindNS"` // kind -> path, empty for none
}

type runtimeMount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options"`
}

// readRuntime reads a bundle's runtime.json; one without has nothing to do.
func readRuntime(bundle string) (runtime, error) {
	var r runtime
	content, err := os.ReadFile(filepath.Join(bundle, "runtime.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read runtime.json: %w", err)
	}
	return r, nil
}

// prepare does what comes before the container is made, and gives it the VM's
// environment.
func (m *machine) prepare(bundle string, r runtime) error {
	for _, name := range r.Cgroups {
		if err := makeCgroup(cgroupRoot, name); err != nil {
			return err
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

// cleanUp takes away the root that was put together for a container that has
// ended, and so the memory of what it wrote there.
func (r runtime) cleanUp(bundle string) {
	for _, mount := range slices.Backward(r.Mounts) {
		if mount.Destination == bundle+"/rootfs" || mount.Destination == bundle+"/tmp" {
			_ = unix.Unmount(mount.Destination, unix.MNT_DETACH) // what a namespace still holds stays with it
		}
	}
}

const cgroupRoot = "/sys/fs/cgroup"

// makeCgroup makes a control group that containers may join by cgroupsPath,
// with every controller on the way to it.
func makeCgroup(root, name string) error {
	dir := root
	for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
		enableControllers(dir)
		dir = filepath.Join(dir, part)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make cgroup %s: %w", name, err)
	}
	return nil
}

// enableControllers gives the groups below a group what it may give. Each is
// asked for alone: the kernel refuses a list as a whole.
func enableControllers(dir string) {
	content, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return // it is made with its parents, or is no cgroup v2
	}
	for _, controller := range strings.Fields(string(content)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
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
	whole := mount{r.Source, r.Destination, r.Type, flags, strings.Join(data, ",")}
	if err := whole.do(); err != nil {
		return err
	}
	if flags&unix.MS_BIND == 0 || flags&unix.MS_RDONLY == 0 || flags&unix.MS_REMOUNT != 0 {
		return nil
	}
	// The kernel makes a bind read-only only when it is there.
	whole.flags |= unix.MS_REMOUNT
	return whole.do()
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

// addEnv gives a container the VM's environment, and its shares if it asks
// for them.
func (m *machine) addEnv(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	adjusted, err := adjusted(content, m.settings(), m.shown())
	if err != nil || adjusted == nil {
		return err
	}
	return os.WriteFile(path, adjusted, 0o644)
}

// shown are the shares, and the volumes as if they were some, outer ones first.
func (m *machine) shown() []guest.Share {
	all := slices.Clone(m.config.Shares)
	for _, v := range m.config.Volumes {
		all = append(all, guest.Share{Path: v.Path, ReadOnly: v.ReadOnly})
	}
	slices.SortStableFunc(all, func(a, b guest.Share) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// adjusted is a container's configuration with more environment, and, if its
// annotations ask for them, the VM's shares. It is nil if nothing is to be
// changed.
func adjusted(content []byte, env []string, shares []guest.Share) ([]byte, error) {
	var config map[string]any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber() // limits of 64 bits stay what they are
	if err := decoder.Decode(&config); err != nil {
		return nil, fmt.Errorf("read config.json: %w", err)
	}
	annotations, _ := config["annotations"].(map[string]any)
	if annotations[guest.SharesAnnotation] != guest.AllShares {
		shares = nil
	}
	if len(env) == 0 && len(shares) == 0 {
		return nil, nil
	}
	process, isObject := config["process"].(map[string]any)
	if !isObject {
		return nil, errors.New("config.json has no process")
	}
	list, _ := process["env"].([]any)
	for _, entry := range env {
		list = append(list, entry)
	}
	process["env"] = list
	for _, s := range shares {
		mounts, _ := config["mounts"].([]any)
		config["mounts"] = append(mounts, shareMount(s))
	}
	return json.Marshal(config)
}

// shareMount shows a container a share where the guest has it.
func shareMount(s guest.Share) map[string]any {
	access := "rw"
	if s.ReadOnly {
		access = "ro"
	}
	return map[string]any{"destination": s.Path, "type": "bind", "source": s.Path, "options": []string{"rbind", access}}
}
