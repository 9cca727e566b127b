package linuxkit

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// merge fills what the template does not give from the component's label, key
// by key; a list given is a list replaced. The members of runtime merge on
// their own, and so do those of bindNS. (LinuxKit: moby/config.go.)
func merge(template, label settings) settings {
	template.Capabilities = extended(template.Capabilities, label.Capabilities, template.CapabilitiesAdd)
	template.Binds = extended(template.Binds, label.Binds, template.BindsAdd)
	var whole runtime
	if template.Runtime != nil {
		whole = *template.Runtime
	}
	if label.Runtime != nil {
		fill(reflect.ValueOf(&whole).Elem(), reflect.ValueOf(*label.Runtime))
	}
	fill(reflect.ValueOf(&template).Elem(), reflect.ValueOf(label))
	template.Runtime = &whole
	return template
}

// extended is what ".add" does: it adds to the label's list, unless the
// template gives a list of its own.
func extended(own, label, add *[]string) *[]string {
	if own != nil || add == nil {
		return own
	}
	list := slices.Concat(given(label), *add)
	return &list
}

// fill sets every zero field of into from the same field of from.
func fill(into, from reflect.Value) {
	for i := range into.NumField() {
		field := into.Field(i)
		if field.Kind() == reflect.Struct {
			fill(field, from.Field(i))
		} else if field.IsZero() {
			field.Set(from.Field(i))
		}
	}
}

// bundle is what a container's configuration files are made from.
type bundle struct {
	settings settings
	image    v1.Config
	ids      map[string]uint32
}

// configJSON is the container's config.json for an OCI runtime, byte for byte
// as LinuxKit writes it, but for fields that its decoder drops.
func (b bundle) configJSON() ([]byte, error) {
	s, err := b.spec()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(s, "", "    ")
}

// ociVersion is that of the runtime specification that LinuxKit writes.
const ociVersion = "1.2.1"

func (b bundle) spec() (specs.Spec, error) {
	s := b.settings
	mounts, err := b.mounts()
	if err != nil {
		return specs.Spec{}, err
	}
	process, err := b.process()
	if err != nil {
		return specs.Spec{}, err
	}
	linux, err := b.linux()
	if err != nil {
		return specs.Spec{}, err
	}
	return specs.Spec{
		Version:     ociVersion,
		Process:     process,
		Root:        &specs.Root{Path: "rootfs", Readonly: isTrue(s.Readonly)},
		Hostname:    s.Hostname,
		Mounts:      mounts,
		Annotations: mapping(s.Annotations),
		Linux:       linux,
	}, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

func mapping(m *map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	return *m
}

func (b bundle) process() (*specs.Process, error) {
	s := b.settings
	args := slices.Concat(b.image.Entrypoint, b.image.Cmd)
	if s.Command != nil {
		args = *s.Command
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("its image names no command; write command: [...]")
	}
	env := b.image.Env
	if s.Env != nil {
		env = *s.Env
	}
	cwd := "/"
	for _, dir := range []string{b.image.WorkingDir, s.Cwd} {
		if dir != "" {
			cwd = dir
		}
	}
	capabilities, err := b.capabilities()
	if err != nil {
		return nil, err
	}
	limits, err := rlimits(given(s.Rlimits))
	if err != nil {
		return nil, err
	}
	user := specs.User{}
	user.UID, _ = s.UID.number(b.ids)
	user.GID, _ = s.GID.number(b.ids)
	for _, id := range given(s.AdditionalGids) {
		gid, _ := id.number(b.ids)
		user.AdditionalGids = append(user.AdditionalGids, gid)
	}
	return &specs.Process{
		User: user, Args: args, Env: env, Cwd: cwd, Capabilities: capabilities, Rlimits: limits,
		NoNewPrivileges: isTrue(s.NoNewPrivileges), OOMScoreAdj: s.OOMScoreAdj,
	}, nil
}

func (b bundle) capabilities() (*specs.LinuxCapabilities, error) {
	effective, err := capabilityNames(given(b.settings.Capabilities))
	if err != nil {
		return nil, err
	}
	ambient, err := capabilityNames(given(b.settings.Ambient))
	if err != nil {
		return nil, err
	}
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(effective, ambient))))
	return &specs.LinuxCapabilities{
		Bounding: all, Effective: effective, Inheritable: all, Permitted: all, Ambient: ambient,
	}, nil
}

func (b bundle) linux() (*specs.Linux, error) {
	s := b.settings
	nodes, rules, err := devices(given(s.Devices))
	if err != nil {
		return nil, err
	}
	resources := specs.LinuxResources{}
	if s.Resources != nil {
		resources = *s.Resources
	}
	resources.Devices = slices.Concat(resources.Devices, rules)
	linux := &specs.Linux{
		UIDMappings: given(s.UIDMappings), GIDMappings: given(s.GIDMappings), Sysctl: mapping(s.Sysctl),
		Resources: &resources, Namespaces: namespaces(s), Devices: nodes,
		MaskedPaths: given(s.MaskedPaths), ReadonlyPaths: given(s.ReadonlyPaths),
	}
	if s.CgroupsPath != nil {
		linux.CgroupsPath = *s.CgroupsPath
	}
	if s.RootfsPropagation != nil {
		linux.RootfsPropagation = *s.RootfsPropagation
	}
	return linux, nil
}

// namespaces are those that the container does not share with the guest.
func namespaces(s settings) []specs.LinuxNamespace {
	list := []specs.LinuxNamespace{}
	add := func(kind specs.LinuxNamespaceType, value, standard string) {
		if value == "" {
			value = standard
		}
		switch value {
		case "host", "root":
		case "new", "none":
			list = append(list, specs.LinuxNamespace{Type: kind})
		default:
			list = append(list, specs.LinuxNamespace{Type: kind, Path: value})
		}
	}
	add(specs.NetworkNamespace, s.Net, "root")
	add(specs.IPCNamespace, s.Ipc, "root")
	add(specs.UTSNamespace, s.Uts, "root")
	add(specs.PIDNamespace, s.Pid, "new")
	add(specs.UserNamespace, s.Userns, "root")
	return append(list, specs.LinuxNamespace{Type: specs.MountNamespace})
}

// mounts are the standard ones and the user's; the later of two for one
// destination wins.
func (b bundle) mounts() ([]specs.Mount, error) {
	readonly := isTrue(b.settings.Readonly)
	byPath := map[string]specs.Mount{}
	for _, mount := range standardMounts(readonly) {
		byPath[mount.Destination] = mount
	}
	for _, text := range given(b.settings.Tmpfs) {
		mount, err := tmpfsMount(text)
		if err != nil {
			return nil, err
		}
		byPath[mount.Destination] = mount
	}
	for _, bind := range given(b.settings.Binds) {
		mount, err := bindMount(bind)
		if err != nil {
			return nil, err
		}
		byPath[mount.Destination] = mount
	}
	for _, mount := range given(b.settings.Mounts) {
		mount, err := fullMount(mount)
		if err != nil {
			return nil, err
		}
		byPath[mount.Destination] = mount
	}
	var mounts []specs.Mount
	for _, destination := range slices.Sorted(maps.Keys(byPath)) {
		mounts = append(mounts, byPath[destination])
	}
	return mounts, nil
}

func standardMounts(readonly bool) []specs.Mount {
	dev := []string{"nosuid", "strictatime", "mode=755", "size=65536k"}
	sys := []string{"nosuid", "noexec", "nodev"}
	if readonly {
		dev, sys = append(dev, "ro"), append(sys, "ro")
	}
	return []specs.Mount{
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: dev},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "nodev", "noexec", "relatime"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: sys},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}
}

// tmpfsMount reads "destination[:options]".
func tmpfsMount(text string) (specs.Mount, error) {
	parts := strings.Split(text, ":")
	if len(parts) > 2 || parts[0] == "" {
		return specs.Mount{}, fmt.Errorf("%q: write destination or destination:options", text)
	}
	mount := specs.Mount{Destination: parts[0], Type: "tmpfs", Source: "tmpfs"}
	if len(parts) == 2 {
		mount.Options = strings.Split(parts[1], ",")
	}
	return mount, nil
}

// bindMount reads "source:destination[:options]".
func bindMount(text string) (specs.Mount, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[1] == "" {
		return specs.Mount{}, fmt.Errorf("%q: write source:destination or source:destination:options", text)
	}
	mount := specs.Mount{Source: parts[0], Destination: parts[1], Type: "bind", Options: []string{"rw", "rbind", "rshared"}}
	if len(parts) == 3 {
		mount.Options = append(strings.Split(parts[2], ","), "rbind")
	}
	return mount, nil
}

// fullMount adds what the kind of a mount implies.
func fullMount(m specs.Mount) (specs.Mount, error) {
	kinds := map[string]string{
		"proc": "/proc", "devpts": "/dev/pts", "sysfs": "/sys", "cgroup": "/sys/fs/cgroup", "mqueue": "/dev/mqueue",
	}
	if m.Type == "" {
		if _, ok := kinds[m.Source]; ok {
			m.Type = m.Source
		} else if m.Destination == "/dev" {
			m.Type = "tmpfs"
		} else {
			return specs.Mount{}, fmt.Errorf("the mount on %q has no type", m.Destination)
		}
	}
	if m.Source == "" {
		m.Source = m.Type
	}
	if m.Destination == "" {
		m.Destination = kinds[m.Type]
	}
	if m.Destination == "" {
		return specs.Mount{}, fmt.Errorf("a mount of type %q has no destination", m.Type)
	}
	return m, nil
}

// devices are the nodes to make and the rules to allow them.
func devices(list []device) ([]specs.LinuxDevice, []specs.LinuxDeviceCgroup, error) {
	var nodes []specs.LinuxDevice
	var rules []specs.LinuxDeviceCgroup
	for _, d := range list {
		if d.Path == "all" {
			rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Access: "rwm"})
			continue
		}
		bits, err := strconv.ParseUint(d.Mode, 8, 32)
		if err != nil {
			return nil, nil, fmt.Errorf("mode %q of %s is not octal; write \"0660\"", d.Mode, d.Path)
		}
		mode := os.FileMode(bits)
		nodes = append(nodes, specs.LinuxDevice{Path: d.Path, Type: d.Type, Major: d.Major, Minor: d.Minor, FileMode: &mode})
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: "rwm"})
	}
	return nodes, rules, nil
}
