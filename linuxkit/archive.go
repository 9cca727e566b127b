package linuxkit

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

// archive takes the entries of a part of the image in their order: a cpio
// archive for an initrd, or LinuxKit's tar. Equal entries give equal bytes.
type archive interface {
	// add writes one entry. One without a time gets [fixedTime]. Content is
	// read for regular files only.
	add(h tar.Header, content io.Reader) error
}

// fixedTime is the time of everything that is made up here, as in LinuxKit:
// 2017-04-18T16:30:00Z.
const fixedTime = 1492533000

func timeOf(h tar.Header) time.Time {
	if h.ModTime.IsZero() {
		return time.Unix(fixedTime, 0)
	}
	return h.ModTime
}

// addDir, addFile and addSymlink add what is made up here.
func addDir(a archive, name string) error {
	return a.add(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, nil)
}

func addFile(a archive, name string, content []byte) error {
	header := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
	return a.add(header, bytes.NewReader(content))
}

func addSymlink(a archive, name, target string) error {
	return a.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// writeSegment makes a file with the entries that write adds, for an initrd.
func writeSegment(name string, write func(archive) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	a := newCpio(file)
	err = write(a)
	if err == nil {
		err = a.close()
	}
	return errors.Join(err, file.Close())
}
