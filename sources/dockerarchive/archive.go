package dockerarchive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// archive is an open tar, of which files can be read in any order.
type archive struct {
	*os.File
	entries map[string]entry
}

// entry is a file by where its content lies, or a link.
type entry struct {
	at, size int64
	link     string // the entry that it stands for
}

// Bounds of an archive, far above what docker save writes.
const (
	maxEntries = 100_000
	maxLinks   = 8
)

func openArchive(name string) (*archive, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &archive{File: file, entries: map[string]entry{}}
	if err := a.list(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

// list finds where the contents lie. A tar.Reader reads no further than it
// must, and seeks over what it does not read.
func (a *archive) list() error {
	if err := a.checkPlain(); err != nil {
		return err
	}
	headers := tar.NewReader(a.File)
	for {
		h, err := headers.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is no tar, or damaged: %w", err)
		}
		at, err := a.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		name := clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			continue
		case tar.TypeReg:
			err = a.note(name, entry{at: at, size: h.Size})
		case tar.TypeSymlink: // as old versions wrote layers that images share
			err = a.note(name, entry{link: clean(path.Join(path.Dir(name), h.Linkname))})
		case tar.TypeLink:
			err = a.note(name, entry{link: clean(h.Linkname)})
		default:
			err = fmt.Errorf("%q in it is neither a file nor a link", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// clean keeps a name inside: "..", at the top, leads nowhere.
func clean(name string) string { return path.Clean("/" + name)[1:] }

func (a *archive) note(name string, e entry) error {
	if _, twice := a.entries[name]; twice {
		return fmt.Errorf("it holds %q twice", name)
	}
	if len(a.entries) == maxEntries {
		return fmt.Errorf("it holds more than %d files", maxEntries)
	}
	a.entries[name] = e
	return nil
}

func (a *archive) checkPlain() error {
	head := make([]byte, 2)
	if _, err := a.ReadAt(head, 0); err != nil {
		return errors.New("it is no tar: it is too short")
	}
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return errors.New("it is compressed; unpack it first, with gunzip")
	}
	return nil
}

// file is the content of a file. Links are followed within the archive.
func (a *archive) file(name string) (*io.SectionReader, error) {
	e, ok := a.entries[clean(name)]
	for range maxLinks {
		if ok && e.link != "" {
			e, ok = a.entries[e.link]
		}
	}
	if !ok || e.link != "" {
		return nil, fmt.Errorf("it has no file %q", name)
	}
	return io.NewSectionReader(a.File, e.at, e.size), nil
}

// content is a whole file of at most limit bytes.
func (a *archive) content(name string, limit int64) ([]byte, error) {
	file, err := a.file(name)
	if err != nil {
		return nil, err
	}
	if file.Size() > limit {
		return nil, fmt.Errorf("%q in it has more than %d MiB", name, limit>>20)
	}
	return io.ReadAll(file)
}
