package linuxkit

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// check finds what the types cannot say.
func (d *decoder) check(t *template) {
	d.checkVolumes(t.Volumes)
	ids := t.identities()
	for _, s := range t.sections() {
		seen := map[string]bool{}
		for i, c := range s.containers {
			if c.At.Line == 0 {
				continue // no mapping, which was said
			}
			where := fmt.Sprintf("%s[%d]", s.name, i)
			d.checkContainer(where, c, ids)
			d.checkVolumeUses(where, c, t.Volumes)
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
	d.checkParents(t.Files)
}

// missing says what a template lacks that a machine is to be started from.
// LinuxKit requires nothing: it builds parts of systems too. given has the
// keys that are written, if wrongly, of which enough was said.
func (t *template) missing(given map[string]Position) Mistakes {
	var missing Mistakes
	at, written := given["kernel"]
	if !written {
		at = t.At
	}
	wrong := written && (t.Kernel == nil || t.Kernel.At.Line == 0)
	if !wrong && (t.Kernel == nil || t.Kernel.Image.Text == "") {
		missing = append(missing, Mistake{at, "kernel.image is missing: no machine can start; write kernel: {image: builtin:kernel}"})
	}
	at, written = given["init"]
	if !written {
		at = t.At
	}
	wrong = written && t.Init == nil
	if !wrong && len(t.Init) == 0 && !t.bringsInit() {
		missing = append(missing, Mistake{at, "init names nothing to run; write init: [builtin:init, apt:busybox-static]"})
	}
	return missing
}

// bringsInit reports whether files or the kernel's command line say what the
// kernel is to start.
func (t *template) bringsInit() bool {
	if t.Kernel != nil && t.Kernel.Cmdline != nil && strings.Contains(*t.Kernel.Cmdline, "init=") {
		return true
	}
	return slices.ContainsFunc(t.Files, func(f file) bool { return entryName(f.Path) == "init" })
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
var containerName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
})

func (d *decoder) checkContainer(where string, c container, ids map[string]uint32) {
	switch {
	case c.Name == "":
		d.report(c.At, "%s: name is missing", where)
	case !containerName().MatchString(c.Name):
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
		place := at
		if exact, ok := d.places[where+"."+key]; ok {
			place = exact
		}
		d.report(place, "%s.%s: %v", where, key, err)
	}
	each(problem, "capabilities", given(s.Capabilities), second(capabilityNames))
	each(problem, "capabilities.add", given(s.CapabilitiesAdd), second(capabilityNames))
	each(problem, "ambient", given(s.Ambient), second(capabilityNames))
	each(problem, "rlimits", given(s.Rlimits), second(rlimits))
	each(problem, "devices", given(s.Devices), func(list []device) error {
		_, _, err := devices(list)
		return err
	})
	each(problem, "binds", given(s.Binds), one(bindMount))
	each(problem, "binds.add", given(s.BindsAdd), one(bindMount))
	each(problem, "tmpfs", given(s.Tmpfs), one(tmpfsMount))
	each(problem, "mounts", given(s.Mounts), one(fullMount))
	for _, id := range append(given(s.AdditionalGids), orRoot(s.UID), orRoot(s.GID)) {
		d.checkIdentity(id, ids)
	}
}

// each checks the elements of a list one by one, so that each problem has its
// own place. A list of one that stands for something else is one too.
func each[T any](problem func(key string, err error), key string, list []T, check func([]T) error) {
	if len(list) == 1 {
		problem(key+"[0]", check(list))
		return
	}
	for i := range list {
		// Twice the same, because [all] and [none] mean themselves only alone.
		problem(fmt.Sprintf("%s[%d]", key, i), check([]T{list[i], list[i]}))
	}
}

func second[T, V any](check func([]T) (V, error)) func([]T) error {
	return func(list []T) error {
		_, err := check(list)
		return err
	}
}

func one[T, V any](check func(T) (V, error)) func([]T) error {
	return func(list []T) error {
		_, err := check(list[0])
		return err
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
	for _, set := range []bool{f.Contents != nil, f.Source != "", f.Metadata != "", f.Directory, f.Symlink != ""} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		d.report(f.At, "%s: give exactly one of contents, source, metadata, directory and symlink", where)
	}
	if f.Metadata != "" && f.Metadata != "yaml" && f.Metadata != "json" {
		d.report(d.places[where+".metadata"], "%s.metadata: %q is neither yaml nor json", where, f.Metadata)
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

// checkParents finds files below what the section makes a file or a link:
// LinuxKit writes them, and what becomes of them depends on who unpacks them.
func (d *decoder) checkParents(files []file) {
	taken := map[string]int{}
	for i, f := range files {
		if f.Directory {
			continue
		}
		if name := entryName(f.Path); name != "" {
			taken[name] = i
		}
	}
	for i, f := range files {
		for dir := path.Dir(entryName(f.Path)); dir != "."; dir = path.Dir(dir) {
			if above, found := taken[dir]; found {
				d.report(f.At, "files[%d]: %s lies below files[%d], which is no directory", i, f.Path, above)
			}
		}
	}
}
