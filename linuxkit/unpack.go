package linuxkit

import (
	"archive/tar"
	"io"
	"path"
	"slices"
	"strings"
)

// hosts is what every component gets as /etc/hosts.
const hosts = `127.0.0.1       localhost
::1     localhost ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
`

// replaced are the files of a component that LinuxKit drops or replaces: what
// the tool that exported the image left in it (moby/image.go).
var replaced = []string{
	".dockerenv", "Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname", "etc/hosts", "etc/resolv.conf",
}

// unpack writes the files of a component below prefix: folders first, so that
// every file finds its own, then the rest in the order of the layers.
func (t *tree) unpack(a archive, prefix string, entries map[string]placed, inRoot bool) error {
	entries = without(entries, replaced)
	for _, folder := range folders(entries, prefix) {
		entry, ok := entries[inside(folder, prefix)]
		if !ok {
			entry.header = tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}
		}
		entry.header.Name = folder
		if err := a.add(entry.header, nil); err != nil {
			return err
		}
	}
	for layer := range t.layers {
		err := t.eachEntry(layer, func(n int, h tar.Header, content io.Reader) error {
			entry, ok := t.placedAt(entries, layer, n)
			if !ok || h.Typeflag == tar.TypeDir {
				return nil
			}
			entry.header.Name = path.Join(prefix, entry.header.Name)
			if h.Typeflag == tar.TypeLink {
				entry.header.Linkname = path.Join(prefix, entry.header.Linkname)
			}
			return a.add(entry.header, content)
		})
		if err != nil {
			return err
		}
	}
	return touch(a, prefix, entries, inRoot)
}

// placedAt is the entry that header n of a layer became. The same name may
// stand in several layers, or twice in one.
func (t *tree) placedAt(entries map[string]placed, layer, n int) (placed, bool) {
	name := t.headers[layer][n].Name
	for _, candidate := range []string{name, "usr/" + name} {
		if entry, ok := entries[candidate]; ok && entry.layer == layer && entry.n == n {
			return entry, true
		}
	}
	return placed{}, false
}

func without(entries map[string]placed, names []string) map[string]placed {
	kept := make(map[string]placed, len(entries))
	for name, entry := range entries {
		if !slices.Contains(names, name) {
			kept[name] = entry
		}
	}
	return kept
}

// folders are all folders that entries need, and those down to prefix,
// sorted, so that each comes after its parent.
func folders(entries map[string]placed, prefix string) []string {
	set := map[string]bool{}
	add := func(name string) {
		for ; name != "." && name != ""; name = path.Dir(name) {
			set[name] = true
		}
	}
	add(prefix)
	for name, entry := range entries {
		name = path.Join(prefix, name)
		if entry.header.Typeflag != tar.TypeDir {
			name = path.Dir(name)
		}
		add(name)
	}
	return sortedKeys(set)
}

// inside is folder as the component names it, empty for those above prefix.
func inside(folder, prefix string) string {
	if prefix == "" {
		return folder
	}
	name, ok := strings.CutPrefix(folder, prefix+"/")
	if !ok {
		return ""
	}
	return name
}

// touch writes what every component has in LinuxKit. In the guest's root,
// resolv.conf is where init keeps it.
func touch(a archive, prefix string, entries map[string]placed, inRoot bool) error {
	at := func(name string) string { return path.Join(prefix, name) }
	for _, name := range []string{"dev", "dev/pts", "dev/shm", "etc"} {
		if err := addDir(a, at(name)); err != nil {
			return err
		}
	}
	if err := addFile(a, at("etc/hosts"), []byte(hosts)); err != nil {
		return err
	}
	if !has(entries, "etc/mtab") {
		if err := addSymlink(a, at("etc/mtab"), "/proc/mounts"); err != nil {
			return err
		}
	}
	if err := resolvConf(a, at("etc/resolv.conf"), inRoot); err != nil {
		return err
	}
	for _, name := range []string{"proc", "sys"} {
		if err := addDir(a, at(name)); err != nil {
			return err
		}
	}
	return nil
}

func resolvConf(a archive, name string, inRoot bool) error {
	if inRoot {
		return addSymlink(a, name, "/run/resolvconf/resolv.conf")
	}
	return addFile(a, name, []byte("\n# no resolv.conf configured\n"))
}
