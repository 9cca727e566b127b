// Package seed packs a VM's settings the way its init finds them: a cpio
// archive in the newc format, which the kernel unpacks over the image's own
// files. The format is in the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
package seed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/lkup/lkup/guest"
)

// Archive packs the settings. Its length is a multiple of four bytes, so that
// another archive may follow. The same settings give the same bytes.
func Archive(c guest.Config) ([]byte, error) {
	c.FormatVersion = guest.FormatVersion
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("pack the guest's settings: %w", err)
	}
	var w writer
	w.entry(strings.TrimPrefix(path.Dir(guest.ConfigPath), "/"), directory|0o700, nil)
	w.entry(strings.TrimPrefix(guest.ConfigPath, "/"), regular|0o600, content)
	w.entry("TRAILER!!!", 0, nil)
	return w.archive.Bytes(), nil
}

// File types, as in stat's st_mode.
const (
	regular   = 0o100000
	directory = 0o040000
)

type writer struct {
	archive bytes.Buffer
	inode   int
}

// entry writes one file: a header of hexadecimal fields, the name, the content.
func (w *writer) entry(name string, mode int, content []byte) {
	links := 1
	if mode&directory != 0 {
		links = 2
	}
	w.inode++
	fmt.Fprintf(&w.archive, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		w.inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	w.archive.WriteString(name)
	w.archive.WriteByte(0)
	w.pad()
	w.archive.Write(content)
	w.pad()
}

func (w *writer) pad() {
	for w.archive.Len()%4 != 0 {
		w.archive.WriteByte(0)
	}
}
