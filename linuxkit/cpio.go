package linuxkit

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"time"
)

// cpioArchive writes the format that the kernel unpacks, "newc", documented
// in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
type cpioArchive struct {
	w     *bufio.Writer
	inode uint32
	err   error
}

func newCpio(w io.Writer) *cpioArchive {
	return &cpioArchive{w: bufio.NewWriterSize(w, 1<<18), inode: firstInode}
}

// Bits of a mode, from stat(2).
const (
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeSymlink = 0o120000
	modeChar    = 0o020000
	modeBlock   = 0o060000
	modeFIFO    = 0o010000
)

// firstInode is LinuxKit's.
const firstInode = 721

// close ends the archive. Every part is padded to 4, so that one archive may
// follow another.
func (a *cpioArchive) close() error {
	a.header(trailer, 0, tar.Header{ModTime: time.Unix(0, 0)}, 0, 1)
	if a.err != nil {
		return a.err
	}
	return a.w.Flush()
}

// add writes one entry. Hard links become relative symbolic ones, as in
// LinuxKit: the format has no links across archives.
func (a *cpioArchive) add(h tar.Header, content io.Reader) error {
	if err := fits(h); err != nil {
		return err
	}
	h.ModTime = timeOf(h)
	permissions := uint32(h.Mode) & 0o7777
	switch h.Typeflag {
	case tar.TypeReg:
		return a.regular(h, permissions, content)
	case tar.TypeDir:
		a.entry(h.Name, modeDir|permissions, h, "")
	case tar.TypeSymlink:
		a.entry(h.Name, modeSymlink|0o777, h, h.Linkname)
	case tar.TypeLink:
		a.entry(h.Name, modeSymlink|0o777, h, relativeLink(h.Name, h.Linkname))
	case tar.TypeChar:
		a.entry(h.Name, modeChar|permissions, h, "")
	case tar.TypeBlock:
		a.entry(h.Name, modeBlock|permissions, h, "")
	case tar.TypeFifo:
		a.entry(h.Name, modeFIFO|permissions, h, "")
	default:
		return fmt.Errorf("%s: cannot put an entry of type %q into an initrd", h.Name, h.Typeflag)
	}
	return a.err
}

// maxName is what the kernel reads of a name or a link's target; it passes
// over entries that have more.
const maxName = 4095

// trailer is the name of the entry that ends an archive.
const trailer = "TRAILER!!!"

// fits refuses what would come out as another entry: numbers have 32 bits, so
// that a user of 2^32 would become root.
func fits(h tar.Header) error {
	switch {
	case h.Name == trailer:
		return fmt.Errorf("%s: the name ends an initrd; leave the file out", h.Name)
	case len(h.Name) > maxName || len(h.Linkname) > maxName:
		return fmt.Errorf("%.40s...: the name or its target is longer than %d bytes", h.Name, maxName)
	}
	for _, n := range []int64{int64(h.Uid), int64(h.Gid), h.Devmajor, h.Devminor} {
		if n < 0 || n > math.MaxUint32 {
			return fmt.Errorf("%s: an owner or device number of %d does not fit into an initrd", h.Name, n)
		}
	}
	return nil
}

func (a *cpioArchive) regular(h tar.Header, permissions uint32, content io.Reader) error {
	if h.Size > math.MaxUint32 {
		return fmt.Errorf("%s: %d bytes are more than an initrd can hold", h.Name, h.Size)
	}
	a.header(h.Name, modeRegular|permissions, h, h.Size, 1)
	if a.err == nil {
		_, a.err = io.CopyN(a.w, content, h.Size)
	}
	a.padAfter(h.Size)
	return a.err
}

// entry writes what has no content but perhaps a link's target.
func (a *cpioArchive) entry(name string, mode uint32, h tar.Header, target string) {
	links := 1
	if mode&0o170000 == modeDir {
		links = 2
	}
	a.header(name, mode, h, int64(len(target)), links)
	a.write(target)
	a.padAfter(int64(len(target)))
}

// header writes 110 bytes and the name, padded to 4.
func (a *cpioArchive) header(name string, mode uint32, h tar.Header, size int64, links int) {
	const major, minor, check = 3, 1, 0
	mtime := uint32(max(0, min(h.ModTime.Unix(), math.MaxUint32)))
	a.write(fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, uint32(h.Uid), uint32(h.Gid), links, mtime, size,
		major, minor, uint32(h.Devmajor), uint32(h.Devminor), len(name)+1, check, name))
	a.padAfter(int64(110 + len(name) + 1))
	a.inode++
}

func (a *cpioArchive) write(text string) {
	if a.err == nil {
		_, a.err = a.w.WriteString(text)
	}
}

// padAfter fills up to a multiple of 4 after n bytes that began at one.
func (a *cpioArchive) padAfter(n int64) { a.write("\x00\x00\x00"[:(4-n%4)%4]) }

func relativeLink(name, target string) string {
	up := strings.Repeat("../", strings.Count(path.Clean(name), "/"))
	return up + target
}
