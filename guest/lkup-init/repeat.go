//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// mostHeld is how many directories are held for one client: init has 4096
// descriptors for all that it does.
const mostHeld = 3000

// repeater repeats for one client what it says has changed.
type repeater struct {
	held map[string]held // by path
	own  *ownChanges
}

// held is a directory that the kernel keeps in mind.
type held struct{ descriptor, watch int }

// repeat answers a client until it goes. What it had held is let go then.
func repeat(client io.ReadWriter) error {
	own, err := newOwnChanges()
	if err != nil {
		return err
	}
	go own.hear()
	r := repeater{held: map[string]held{}, own: own}
	defer r.close()
	in, out := json.NewDecoder(client), json.NewEncoder(client)
	for {
		var said guest.Repeat
		if err := in.Decode(&said); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(r.do(said)); err != nil {
			return err
		}
	}
}

func (r repeater) close() {
	r.own.close()
	for _, h := range r.held {
		_ = unix.Close(h.descriptor) // nothing was written to it
	}
}

func (r repeater) do(said guest.Repeat) guest.Repeated {
	for _, dir := range said.Release {
		r.release(dir)
	}
	for _, dir := range said.Hold {
		r.hold(dir)
	}
	if r.own.take() == nil {
		r.own.expect()
	}
	var done guest.Repeated
	for _, c := range said.Changed {
		if r.repeatOne(c) == nil {
			done.Changes++
		}
	}
	return done
}

// hold opens a directory before the one that had its name is let go: if that is
// still the same to the kernel, so it stays for who watches it.
func (r repeater) hold(dir string) {
	if _, there := r.held[dir]; !there && len(r.held) >= mostHeld {
		return
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return // it has gone, and the host says so next
	}
	r.release(dir)
	r.held[dir] = held{fd, r.own.watch("/proc/self/fd/"+strconv.Itoa(fd), dir)}
}

func (r repeater) release(dir string) {
	if h, there := r.held[dir]; there {
		r.own.unwatch(h.watch)
		_ = unix.Close(h.descriptor)
		delete(r.held, dir)
	}
}

// sight is what a file looks like.
type sight struct {
	mode     uint32 // its kind, too
	modified int64  // nanoseconds since 1970
}

// look asks the host, whatever the guest remembers. Without a name it is the
// descriptor's file.
func look(descriptor int, name string) (sight, error) {
	var s unix.Statx_t
	const how = unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH | unix.AT_STATX_FORCE_SYNC
	err := unix.Statx(descriptor, name, how, unix.STATX_TYPE|unix.STATX_MODE|unix.STATX_MTIME, &s)
	return sight{uint32(s.Mode), s.Mtime.Sec*1e9 + int64(s.Mtime.Nsec)}, err
}

// lostModes are the bits of a mode that a file may lose when its mode is set.
const lostModes = unix.S_ISUID | unix.S_ISGID

var errUnheard = errors.New("no watcher is to hear of it")

// repeatOne does to a file what changes nothing, and what watchers hear of. It
// never writes: what this guest knows of the content may be old. The way to the
// file is walked once, for each step is a question to the host.
func (r repeater) repeatOne(c guest.Changed) error {
	fd, err := unix.Open(c.Path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written to it
	now, err := look(fd, "")
	if err != nil || now != (sight{mode: now.mode&unix.S_IFMT | c.Mode, modified: c.Modified}) || r.own.are(c.Path, now) {
		return errors.Join(err, errUnheard)
	}
	r.own.expect(c.Path)
	at := "/proc/self/fd/" + strconv.Itoa(fd)
	if c.ByTime {
		return unix.UtimesNanoAt(unix.AT_FDCWD, at, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(c.Modified)}, 0)
	}
	if now.mode&unix.S_IFMT == unix.S_IFLNK || c.Mode&lostModes != 0 {
		return errUnheard
	}
	return unix.Chmod(at, c.Mode)
}
