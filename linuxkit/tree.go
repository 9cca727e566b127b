package linuxkit

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds of what a component may hold: a few times what a large distribution
// has. They stop an archive that would fill the disk.
const (
	maxEntries = 500_000
	maxBytes   = 8 << 30
	maxRead    = 1 << 30 // of a file that is read whole
)

// tree is the files of a component, layers laid over each other. It holds
// headers only; contents are read from the layers when it is written.
type tree struct {
	layers  []v1.Layer // lowest first
	headers [][]tar.Header
	bytes   int64
	count   int
}

// readTree reads the headers of an image. Their names come out clean:
// relative, and without "..".
func readTree(image v1.Image) (*tree, error) {
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	t := &tree{layers: layers, headers: make([][]tar.Header, len(layers))}
	for i := range layers {
		err := t.eachEntry(i, func(_ int, h tar.Header, _ io.Reader) error {
			t.headers[i] = append(t.headers[i], h)
			t.count++
			t.bytes += h.Size
			if t.count > maxEntries || t.bytes > maxBytes {
				return fmt.Errorf("more than %d files or %d GiB", maxEntries, maxBytes>>30)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// eachEntry reads a layer. n counts its entries.
func (t *tree) eachEntry(layer int, each func(n int, h tar.Header, content io.Reader) error) error {
	content, err := t.layers[layer].Uncompressed()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	entries := tar.NewReader(content)
	for n := 0; ; n++ {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("layer %d: %w", layer, err)
		}
		header.Name = entryName(header.Name)
		if header.Typeflag == tar.TypeLink {
			header.Linkname = entryName(header.Linkname)
		}
		if err := each(n, *header, entries); err != nil {
			return err
		}
	}
}

// linksIntoUsr are the folders of the root that are links to the folder of
// the same name in /usr, as on Debian: "bin" -> "usr/bin".
func (t *tree) linksIntoUsr() []string {
	links := map[string]bool{}
	for _, headers := range t.headers {
		for _, h := range headers {
			if isUsrLink(h) {
				links[h.Name] = true
			}
		}
	}
	return sortedKeys(links)
}

func isUsrLink(h tar.Header) bool {
	return h.Typeflag == tar.TypeSymlink && !strings.Contains(h.Name, "/") && h.Name != "usr" &&
		entryName(h.Linkname) == "usr/"+h.Name
}

// placed is an entry that made it into the tree.
type placed struct {
	layer, n int
	header   tar.Header
}

// place lays the layers over each other, as OCI's image specification has it,
// and moves what lies in a folder of usr to where the link leads. An entry
// that would lie behind a link or below a file is refused: unpacked in the
// guest's root, it could end up outside of the component's folder.
func (t *tree) place(usr []string) (map[string]placed, error) {
	entries, hidden := map[string]placed{}, map[string]bool{}
	for layer := len(t.layers) - 1; layer >= 0; layer-- {
		var hides []string
		added := map[string]placed{}
		for n, h := range t.headers[layer] {
			h = intoUsr(h, usr)
			dir, base := path.Split(h.Name)
			switch {
			case h.Name == "" || covered(h.Name, entries, hidden):
			case base == ".wh..wh..opq":
				hides = append(hides, path.Clean(dir)+"/")
			case strings.HasPrefix(base, ".wh."):
				hides = append(hides, dir+strings.TrimPrefix(base, ".wh."))
			default:
				if _, twice := added[h.Name]; !twice {
					added[h.Name] = placed{layer, n, h}
				}
			}
		}
		for name, entry := range added {
			entries[name] = entry
		}
		for _, name := range hides {
			hidden[name] = true
		}
	}
	return entries, checkParents(entries)
}

func intoUsr(h tar.Header, usr []string) tar.Header {
	if first, _, _ := strings.Cut(h.Name, "/"); slices.Contains(usr, first) && !isUsrLink(h) {
		h.Name = "usr/" + h.Name
	}
	if first, _, _ := strings.Cut(h.Linkname, "/"); h.Typeflag == tar.TypeLink && slices.Contains(usr, first) {
		h.Linkname = "usr/" + h.Linkname
	}
	return h
}

// covered reports whether an upper layer has name, or removed it or a folder
// above it. "dir/" in hidden means what lies in dir, not dir itself.
func covered(name string, upper map[string]placed, hidden map[string]bool) bool {
	if _, ok := upper[name]; ok || hidden[name] {
		return true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if hidden[dir] || hidden[dir+"/"] {
			return true
		}
		if above, ok := upper[dir]; ok && above.header.Typeflag != tar.TypeDir {
			return true
		}
	}
	return hidden["./"]
}

func checkParents(entries map[string]placed) error {
	for _, name := range sortedKeys(entries) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if above, ok := entries[dir]; ok && above.header.Typeflag != tar.TypeDir {
				return fmt.Errorf("%q lies below %q, which is no folder", name, dir)
			}
		}
	}
	return nil
}

// has reports whether one of the names is a file of the tree.
func has(entries map[string]placed, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, ok := entries[name]
		return ok
	})
}

// holds reports whether the component has a regular file.
func (t *tree) holds(name string) bool {
	entries, err := t.place(nil)
	return err == nil && entries[entryName(name)].header.Typeflag == tar.TypeReg && has(entries, entryName(name))
}
