package npm

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// What one installation may unpack to.
const (
	mostBytes    = 8 << 30
	mostFiles    = 500_000
	mostSettings = 4 << 20 // bytes of a package.json
)

// Written is what was written.
type Written struct {
	Programs map[string]string // of the root package: names to files, relative to the prefix
	Scripts  []Script          // in the order to run them: the root package's come last
	Bytes    int64
	files    int
}

// Script is a command that a package wants to be run in its folder once it lies
// there. It is a line for the shell.
type Script struct {
	Dir     string // relative to the prefix
	Name    string // preinstall, install or postinstall
	Line    string
	Package string // name@version
	Root    bool
}

// Program is the one that an agent's name means: of that name, or the only one.
func (w Written) Program(name string) (string, error) {
	names := slices.Sorted(maps.Keys(w.Programs))
	switch {
	case w.Programs[name] != "":
		return name, nil
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", errors.New("the package has no program; was another one meant?")
	}
	return "", fmt.Errorf("the package has the programs %s; say which: command = [%q]", strings.Join(names, ", "), names[0])
}

// settings is a package.json, as far as it matters.
type settings struct {
	Bin     json.RawMessage   `json:"bin"`
	Scripts map[string]string `json:"scripts"`
}

// Write writes a tree, whose archives are in the store, as a tar archive of an
// npm prefix: lib/node_modules/NAME, and bin with links into it.
func (r *Registry) Write(t Tree, to io.Writer) (Written, error) {
	out := tar.NewWriter(to)
	all := Written{Programs: map[string]string{}}
	root := path.Join("lib/node_modules", t.Root.Name)
	for _, p := range t.Placed {
		if err := r.writeOne(out, p, path.Join(root, p.Path), &all); err != nil {
			return all, fmt.Errorf("unpack %s: %w", p.Package, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all.Programs)) {
		link := tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "../" + all.Programs[name], Mode: 0o777}
		if err := out.WriteHeader(&link); err != nil {
			return all, err
		}
	}
	return all, out.Close()
}

func (r *Registry) writeOne(out *tar.Writer, p Placed, dir string, all *Written) error {
	f, err := r.open(p.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	var own settings
	in := tar.NewReader(unzipped)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, ok := inside(header)
		if !ok {
			continue
		}
		var content io.Reader = in
		if name == "package.json" {
			text, err := io.ReadAll(io.LimitReader(in, mostSettings+1))
			if err != nil || len(text) > mostSettings || json.Unmarshal(text, &own) != nil {
				return errors.Join(err, errors.New("its package.json cannot be read"))
			}
			content = strings.NewReader(string(text))
		}
		if err := all.file(out, path.Join(dir, name), header, content); err != nil {
			return err
		}
	}
	return all.note(p, dir, own)
}

// inside is where an entry of an archive lies below its package. As with npm,
// only plain files count, and the first folder is called as anybody likes.
func inside(header *tar.Header) (string, bool) {
	if header.Typeflag != tar.TypeReg {
		return "", false
	}
	_, name, ok := strings.Cut(strings.TrimPrefix(header.Name, "./"), "/")
	if !ok || name == "" || strings.ContainsRune(name, 0) || !filepath.IsLocal(name) {
		return "", false
	}
	return path.Clean(name), true
}

// file writes one file.
func (w *Written) file(out *tar.Writer, name string, header *tar.Header, content io.Reader) error {
	w.files++
	w.Bytes += header.Size
	if header.Size < 0 || w.Bytes > mostBytes || w.files > mostFiles {
		return fmt.Errorf("it unpacks to too much: more than %d files or %d GiB in all", mostFiles, mostBytes>>30)
	}
	own := tar.Header{Typeflag: tar.TypeReg, Name: name, Size: header.Size, Mode: 0o644, Format: tar.FormatGNU}
	if header.Mode&0o111 != 0 {
		own.Mode = 0o755
	}
	if err := out.WriteHeader(&own); err != nil {
		return err
	}
	_, err := io.Copy(out, content)
	return err
}

// note keeps what a package says of its programs and scripts.
func (w *Written) note(p Placed, dir string, own settings) error {
	var scripts []Script
	for _, name := range []string{"preinstall", "install", "postinstall"} {
		if line := own.Scripts[name]; line != "" {
			scripts = append(scripts, Script{Dir: dir, Name: name, Line: line, Package: p.Package.Name + "@" + p.Package.Version, Root: p.Path == ""})
		}
	}
	w.Scripts = append(scripts, w.Scripts...)
	if p.Path != "" || len(own.Bin) == 0 {
		return nil
	}
	programs := map[string]string{}
	var one string
	if json.Unmarshal(own.Bin, &one) == nil {
		programs[path.Base(p.Package.Name)] = one
	} else if err := json.Unmarshal(own.Bin, &programs); err != nil {
		return fmt.Errorf("its package.json names no programs that can be read: %w", err)
	}
	for name, file := range programs {
		file = path.Clean(file)
		if name == "" || name != path.Base(name) || !filepath.IsLocal(name) || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) || !filepath.IsLocal(file) {
			return fmt.Errorf("its program %q lies at %q, which is not within it", name, file)
		}
		w.Programs[name] = path.Join(dir, file)
	}
	return nil
}
