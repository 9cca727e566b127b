package file

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// racy is how long after a file was written its time may still be that of a
// later write, on the coarsest file systems in use.
const racy = 2 * time.Second

// fileDigest is the digest of a file's content. It is remembered by path,
// size, time and inode, so that a large disk is read once, not at each plan.
func (s Source) fileDigest(path string) (sources.Digest, error) {
	before, err := identify(path)
	if err != nil {
		return "", err
	}
	if d, ok := s.Store.Pinned("file:"+path, before.circumstances()...); ok {
		return d, nil
	}
	d, err := store.FileDigest(path)
	if err != nil {
		return "", err
	}
	after, err := identify(path)
	if err != nil {
		return "", err
	}
	if before != after {
		return "", fmt.Errorf("%s changes while lkup reads it; wait until it is complete", path)
	}
	settled, err := s.settled(after)
	if err != nil || !settled {
		return d, err
	}
	return d, s.Store.Pin(d, "file:"+path, before.circumstances()...)
}

// identity tells one state of a file from another without reading it.
type identity struct {
	size, time int64
	inode      uint64
}

func identify(path string) (identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	if !info.Mode().IsRegular() {
		return identity{}, fmt.Errorf("%s is no regular file", path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, errors.New("this host's files have no inodes")
	}
	return identity{size: info.Size(), time: info.ModTime().UnixNano(), inode: stat.Ino}, nil
}

func (i identity) circumstances() []string {
	return []string{strconv.FormatInt(i.size, 10), strconv.FormatInt(i.time, 10), strconv.FormatUint(i.inode, 10)}
}

// settled reports whether a write after now would show in the file's time.
// The clock that counts is that of the file system.
func (s Source) settled(i identity) (bool, error) {
	probe, err := os.CreateTemp(s.Store.Dir("tmp"), "clock")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(probe.Name()) }()
	info, err := probe.Stat()
	if closing := probe.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return false, err
	}
	return info.ModTime().Sub(time.Unix(0, i.time)) > racy, nil
}
