package linuxkit

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// check finds what the types cannot say.
func (d *decoder) check(document *yaml.Node, t *template) {
	if _, given := d.places["kernel"]; !given {
		d.mistake(document, "kernel is missing; write kernel: {image: builtin:kernel}")
	} else if t.Kernel != nil && t.Kernel.Image.Text == "" && t.Kernel.At.Line > 0 {
		d.report(t.Kernel.At, "kernel.image is missing; write image: builtin:kernel")
	}
	if _, given := d.places["init"]; !given {
		d.mistake(document, "init is missing; write init: [builtin:init, apt:busybox-static]")
	} else if t.Init != nil && len(t.Init) == 0 {
		d.mistake(document, "init is empty; write init: [builtin:init, apt:busybox-static]")
	}
	ids := t.identities()
	for _, s := range t.sections() {
		seen := map[string]bool{}
		for i, c := range s.containers {
			if c.At.Line == 0 {
				continue // no mapping, which was said
			}
			d.checkContainer(fmt.Sprintf("%s[%d]", s.name, i), c, ids)
			if s.name == services && seen[c.Name] {
				d.report(c.At, "two services are named %q", c.Name)
			}
			seen[c.Name] = true
		}
	}
	for i, f := range t.Files {
		if f.At.Line > 0 {
			d.checkFile(fmt.Sprintf("files[%d]", i), f, ids)
		}
	}
}

func (d *decoder) report(at Position, format string, args ...any) {
	d.mistakes = append(d.mistakes, Mistake{at, fmt.Sprintf(format, args...)})
}

// The sections with containers, named as in the YAML and in the guest.
const (
	onboot     = "onboot"
	onshutdown = "onshutdown"
	services   = "services"
)

type section struct {
	name       string
	containers []container
}

// sections are the lists of containers in the order in which LinuxKit builds them.
func (t *template) sections() []section {
	return []section{{onboot, t.Onboot}, {onshutdown, t.Onshutdown}, {services, t.Services}}
}

// identities gives each container's name the number that stands for it in
// uid, gid and additionalGids. As in LinuxKit, every entry takes a number and
// the last one of a name counts.
func (t *template) identities() map[string]uint32 {
	ids := map[string]uint32{}
	next := uint32(100)
	for _, s := range t.sections() {
		for _, c := range s.containers {
			ids[c.Name] = next
			next++
		}
	}
	return ids
}

// number is what an identity stands for; none is root.
func (i *identity) number(ids map[string]uint32) (uint32, bool) {
	if i == nil || i.Text == "" || i.Text == "root" {
		return 0, true
	}
	if n, err := strconv.ParseUint(i.Text, 10, 32); err == nil {
		return uint32(n), true
	}
	n, ok := ids[i.Text]
	return n, ok
}

// containerName keeps a container's folder where it belongs: LinuxKit takes
// "a/b" and even "..".
var containerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (d *decoder) checkContainer(where string, c container, ids map[string]uint32) {
	switch {
	case c.Name == "":
		d.report(c.At, "%s: name is missing", where)
	case !containerName.MatchString(c.Name):
		d.report(c.At, "%s: name %q: use letters, digits, dots, dashes and underscores", where, c.Name)
	}
	if c.Image.Text == "" {
		d.report(c.At, "%s: image is missing", where)
	}
	d.checkSettings(where, c.At, c.settings, ids)
}

// checkSettings finds what would only show when the container's
// configuration is made, or in the guest.
func (d *decoder) checkSettings(where string, at Position, s settings, ids map[string]uint32) {
	problem := func(key string, err error) {
		if err == nil {
			return
		}
		if place, ok := d.places[where+"."+key]; ok {
			at = place
		}
		d.report(at, "%s.%s: %v", where, key, err)
	}
	_, err := capabilityNames(given(s.Capabilities))
	problem("capabilities", err)
	_, err = capabilityNames(given(s.CapabilitiesAdd))
	problem("capabilities.add", err)
	_, err = capabilityNames(given(s.Ambient))
	problem("ambient", err)
	_, err = rlimits(given(s.Rlimits))
	problem("rlimits", err)
	_, _, err = devices(given(s.Devices))
	problem("devices", err)
	for _, bind := range slices.Concat(given(s.Binds), given(s.BindsAdd)) {
		_, err := bindMount(bind)
		problem("binds", err)
	}
	for _, mount := range given(s.Mounts) {
		_, err := fullMount(mount)
		problem("mounts", err)
	}
	for _, id := range append(given(s.AdditionalGids), orRoot(s.UID), orRoot(s.GID)) {
		d.checkIdentity(id, ids)
	}
}

func orRoot(id *identity) identity {
	if id == nil {
		return identity{}
	}
	return *id
}

// given is the list behind a pointer, nil if there is none.
func given[T any](list *[]T) []T {
	if list == nil {
		return nil
	}
	return *list
}

func (d *decoder) checkIdentity(id identity, ids map[string]uint32) {
	if _, ok := id.number(ids); !ok {
		d.report(id.At, "no container is named %q%s", id.Text, didYouMean(id.Text, sortedKeys(ids)))
	}
}

func (d *decoder) checkFile(where string, f file, ids map[string]uint32) {
	if inside := entryName(f.Path); inside == "" || strings.Contains("/"+f.Path+"/", "/../") {
		d.report(f.At, "%s: path %q is no path below /", where, f.Path)
	}
	kinds := 0
	for _, set := range []bool{f.Contents != nil, f.Source != "", f.Directory, f.Symlink != ""} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		d.report(f.At, "%s: give exactly one of contents, source, directory and symlink", where)
	}
	if _, err := f.mode(); err != nil {
		d.report(f.At, "%s: mode %q is not octal; write \"0644\"", where, f.Mode)
	}
	d.checkIdentity(orRoot(f.UID), ids)
	d.checkIdentity(orRoot(f.GID), ids)
}

// entryName is the name of a path in an archive: relative, clean, without
// "..". It is empty for the root.
func entryName(name string) string { return path.Clean("/" + name)[1:] }
