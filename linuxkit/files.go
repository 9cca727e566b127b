package linuxkit

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// mode is the file's, in octal as written, or LinuxKit's default.
func (f file) mode() (int64, error) {
	switch {
	case f.Mode != "":
		mode, err := strconv.ParseUint(f.Mode, 8, 12)
		return int64(mode), err
	case f.Directory:
		return 0o700, nil
	default:
		return 0o600, nil
	}
}

// contents reads what the files section shows. The result has one element
// for each entry; nil means that an optional one is not there. folder is the
// template's, relative to the project.
func (b *Builder) contents(folder string, t *template) ([][]byte, error) {
	all := make([][]byte, len(t.Files))
	for i, f := range t.Files {
		var err error
		switch {
		case f.Contents != nil:
			all[i] = []byte(*f.Contents)
		case f.Source != "":
			all[i], err = b.source(folder, f)
		case f.Metadata != "":
			all[i], err = t.metadata(f.Metadata)
		default:
			all[i] = []byte{}
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// source is the content of a file. One that is optional may be missing or out
// of reach.
func (b *Builder) source(folder string, f file) ([]byte, error) {
	content, err := b.readSource(folder, f)
	if f.Optional && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return nil, nil
	}
	var mistakes Mistakes
	if errors.As(err, &mistakes) {
		return nil, err
	}
	if err != nil {
		return nil, Mistakes{{f.At, fmt.Sprintf("source: %v", err)}}
	}
	if content == nil {
		content = []byte{}
	}
	return content, nil
}

// readSource reads from where the builder says or else from the project or,
// as "~/x", from the user's home.
func (b *Builder) readSource(folder string, f file) ([]byte, error) {
	if b.ReadSource != nil {
		return b.ReadSource(f.Source)
	}
	from, name := b.Project, path.Join(folder, f.Source)
	if inHome, ok := strings.CutPrefix(f.Source, "~/"); ok {
		if from, name = b.Home, path.Clean(inHome); from == nil {
			return nil, fmt.Errorf("%s: there is no home directory: %w", f.Source, fs.ErrNotExist)
		}
	}
	if from == nil || path.IsAbs(f.Source) || !fs.ValidPath(name) {
		return nil, Mistakes{{f.At, fmt.Sprintf("source %q lies outside the project; copy it into the project", f.Source)}}
	}
	return fs.ReadFile(from, name)
}

// writeFiles writes the files section. Folders above a file that no entry
// names get its owner, and its mode with the right to enter wherever it has
// the right to do anything, as in LinuxKit.
func writeFiles(a archive, files []file, contents [][]byte, usr []string, ids map[string]uint32) error {
	made := map[string]bool{}
	for i, f := range files {
		if contents[i] == nil {
			continue
		}
		h, err := f.header(ids)
		if err != nil {
			return err
		}
		h.Size = int64(len(contents[i]))
		h.PAXRecords = origin{filesSource, fmt.Sprintf("files[%d]", i)}.records()
		h = intoUsr(h, usr)
		if err := parents(a, h, made); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir {
			made[h.Name] = true
		}
		if err := a.add(h, bytes.NewReader(contents[i])); err != nil {
			return err
		}
	}
	return nil
}

func (f file) header(ids map[string]uint32) (tar.Header, error) {
	mode, err := f.mode()
	if err != nil {
		return tar.Header{}, err
	}
	uid, _ := f.UID.number(ids)
	gid, _ := f.GID.number(ids)
	h := tar.Header{Typeflag: tar.TypeReg, Name: entryName(f.Path), Mode: mode, Uid: int(uid), Gid: int(gid)}
	switch {
	case f.Directory:
		h.Typeflag = tar.TypeDir
	case f.Symlink != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Symlink
	}
	return h, nil
}

func parents(a archive, h tar.Header, made map[string]bool) error {
	mode := h.Mode
	for _, class := range []int64{0o100, 0o010, 0o001} {
		if mode&(class*7) != 0 {
			mode |= class
		}
	}
	parts := strings.Split(h.Name, "/")
	for i := 1; i < len(parts); i++ {
		name := strings.Join(parts[:i], "/")
		if made[name] {
			continue
		}
		made[name] = true
		dir := tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uid: h.Uid, Gid: h.Gid, PAXRecords: h.PAXRecords}
		if err := a.add(dir, nil); err != nil {
			return err
		}
	}
	return nil
}
