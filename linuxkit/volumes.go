package linuxkit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/lkup/lkup/sources/store"
)

// The formats of a volume.
const (
	volumeFiles = "filesystem" // the files of its image
	volumeOCI   = "oci"        // its image itself, as an OCI layout
)

// volumeDir is where a volume lies in the guest, without the first slash:
// lower has its image, tmp what is written to it, and merged both.
func volumeDir(name string) string { return "containers/volumes/" + name }

var (
	volumeName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[a-z0-9_-]+$`)
	})
	platform = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^linux/[a-z0-9]+(/[a-z0-9]+)?$`)
	})
)

func (d *decoder) checkVolumes(volumes []volume) {
	seen := map[string]bool{}
	for i, v := range volumes {
		if v.At.Line == 0 {
			continue // no mapping, which was said
		}
		where := fmt.Sprintf("volumes[%d]", i)
		switch {
		case v.Name == "":
			d.report(v.At, "%s: name is missing", where)
		case !volumeName().MatchString(v.Name):
			d.report(v.At, "%s: name %q: use small letters, digits, dashes and underscores", where, v.Name)
		case seen[v.Name]:
			d.report(v.At, "two volumes are named %q", v.Name)
		}
		seen[v.Name] = true
		switch v.Format {
		case "", volumeFiles:
		case volumeOCI:
			if v.Image.Text == "" {
				d.report(v.At, "%s: a volume of format oci needs an image", where)
			}
		default:
			d.report(v.At, "%s: format %q is neither filesystem nor oci", where, v.Format)
		}
		for _, p := range given(v.Platforms) {
			if !platform().MatchString(p) {
				d.report(v.At, "%s: platform %q: write linux/amd64 or the like", where, p)
			}
		}
	}
}

// checkVolumeUses finds binds and mounts of volumes that are not there, or
// that may not be written.
func (d *decoder) checkVolumeUses(where string, c container, volumes []volume) {
	at := func(key string) Position {
		if place, ok := d.places[where+"."+key]; ok {
			return place
		}
		return c.At
	}
	for key, list := range map[string][]string{"binds": given(c.Binds), "binds.add": given(c.BindsAdd)} {
		for i, text := range list {
			mount, err := bindMount(text)
			if err != nil {
				continue // which was said
			}
			if err := checkUse(mount, volumes); err != nil {
				key := fmt.Sprintf("%s[%d]", key, i)
				d.report(at(key), "%s.%s: %q: %v", where, key, text, err)
			}
		}
	}
	for i, mount := range given(c.Mounts) {
		if mount.Type != "bind" {
			continue
		}
		if err := checkUse(mount, volumes); err != nil {
			d.report(at(fmt.Sprintf("mounts[%d]", i)), "%s.mounts[%d]: %v", where, i, err)
		}
	}
}

// checkUse checks a bind whose source may be a volume.
func checkUse(m specs.Mount, volumes []volume) error {
	if strings.HasPrefix(m.Source, "/") {
		return nil
	}
	i := slices.IndexFunc(volumes, func(v volume) bool { return v.Name == m.Source })
	if i < 0 {
		var names []string
		for _, v := range volumes {
			names = append(names, v.Name)
		}
		return fmt.Errorf("no volume is named %q%s; a path begins with /", m.Source, didYouMean(m.Source, names))
	}
	if volumes[i].ReadOnly && (!slices.Contains(m.Options, "ro") || slices.Contains(m.Options, "rw")) {
		return fmt.Errorf("volume %q is readonly; add the option ro", m.Source)
	}
	return nil
}

// withVolumes puts the paths of volumes in place of their names. LinuxKit
// checks the names in mounts and then leaves them as they are, which no
// runtime can mount; here they mean what they mean in binds.
func withVolumes(s settings, volumes []volume) settings {
	s.Binds, s.BindsAdd = bindsOfVolumes(s.Binds, volumes), bindsOfVolumes(s.BindsAdd, volumes)
	if s.Mounts != nil {
		mounts := slices.Clone(*s.Mounts)
		for i, m := range mounts {
			if m.Type == "bind" {
				mounts[i].Source = volumePath(m.Source, volumes)
			}
		}
		s.Mounts = &mounts
	}
	return s
}

func bindsOfVolumes(binds *[]string, volumes []volume) *[]string {
	if binds == nil {
		return nil
	}
	list := slices.Clone(*binds)
	for i, bind := range list {
		source, rest, _ := strings.Cut(bind, ":")
		list[i] = volumePath(source, volumes) + ":" + rest
	}
	return &list
}

func volumePath(source string, volumes []volume) string {
	if slices.ContainsFunc(volumes, func(v volume) bool { return v.Name == source }) {
		return "/" + volumeDir(source) + "/merged"
	}
	return source
}

// archs are the architectures that a volume wants its image for: the guest's,
// and for one of format oci those of its platforms.
func (v volume) archs(guest string) []string {
	switch {
	case v.Image.Text == "":
		return nil
	case v.Format != volumeOCI || len(given(v.Platforms)) == 0:
		return []string{guest}
	}
	var archs []string
	for _, p := range *v.Platforms {
		archs = append(archs, strings.Split(p, "/")[1])
	}
	return archs
}

// volumes are the folders of the volumes, with the files of their images.
func (r recipe) volumes(components map[string]component) []segment {
	var list []segment
	for i, v := range r.template.Volumes {
		dir := volumeDir(v.Name)
		as := origin{volumesSource, fmt.Sprintf("volume[%d]", i)}
		switch {
		case v.Image.Text == "":
		case v.Format == volumeOCI:
			list = append(list, r.layout(v, dir+"/lower", components, originOf(v.Image, as.location)))
		default:
			list = append(list, components[v.Image.Text].segment(dir+"/lower", originOf(v.Image, as.location), true))
		}
		list = append(list, segment{
			key: store.Key(format, "volume", dir), what: dir, origin: as,
			write: func(a archive) error { return writeVolume(a, dir) },
		})
	}
	return list
}

// writeVolume makes the folders of a volume; lower is empty or there already.
func writeVolume(a archive, dir string) error {
	for _, name := range []string{"containers", "containers/volumes", dir, dir + "/lower", dir + "/tmp", dir + "/merged"} {
		if err := addDir(a, name); err != nil {
			return err
		}
	}
	return nil
}
