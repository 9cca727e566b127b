//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ownChanges are what the guest's own programs do in directories. Watchers have
// heard of that: to repeat it could have a program answer itself without end.
type ownChanges struct {
	inotify int      // the descriptor of events
	events  *os.File // which reads without blocking
	ended   chan struct{}

	taking   sync.Mutex       // held until what was read is noted
	mu       sync.Mutex       // guards what follows
	dirs     map[int]string   // by watch
	left     map[string]sight // what files looked like after it
	expected map[string]bool  // files that are no guest's program's doing next
}

// mostLeft is how many files are remembered.
const mostLeft = 10_000

func newOwnChanges() (*ownChanges, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &ownChanges{
		inotify: fd, events: os.NewFile(uintptr(fd), "inotify"), ended: make(chan struct{}),
		dirs: map[int]string{}, left: map[string]sight{}, expected: map[string]bool{},
	}, nil
}

// close ends hear, which must have begun.
func (o *ownChanges) close() {
	_ = o.events.Close()
	<-o.ended
}

// watch begins to look at a directory, which is called dir, and gives a number
// for it.
func (o *ownChanges) watch(at, dir string) int {
	const changes = unix.IN_ATTRIB | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVE
	o.mu.Lock()
	defer o.mu.Unlock()
	watch, err := unix.InotifyAddWatch(o.inotify, at, changes)
	if err != nil {
		return -1 // what is done there is repeated, too
	}
	o.dirs[watch] = dir
	return watch
}

func (o *ownChanges) unwatch(watch int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, there := o.dirs[watch]; there {
		_, _ = unix.InotifyRmWatch(o.inotify, uint32(watch)) // it may have gone with its directory
		delete(o.dirs, watch)
	}
}

// are reports whether a file looks as the guest itself has left it.
func (o *ownChanges) are(name string, now sight) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	left, known := o.left[name]
	return known && left == now
}

// hear takes events as they come, until the end.
func (o *ownChanges) hear() {
	defer close(o.ended)
	events, err := o.events.SyscallConn()
	if err == nil {
		_ = events.Read(func(uintptr) bool { return o.take() != nil }) // closed: the end
	}
}

// take notes all that has happened until now.
func (o *ownChanges) take() error {
	o.taking.Lock()
	defer o.taking.Unlock()
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(o.inotify, buffer)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("read inotify", err)
		}
		for name := range o.named(buffer[:n]) {
			o.note(name)
		}
	}
}

// expect says that what happens to a file next is not the guest's doing, or,
// with nothing named, that nothing of that is left to happen.
func (o *ownChanges) expect(names ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(names) == 0 {
		clear(o.expected)
	}
	for _, name := range names {
		o.expected[name] = true
	}
}

// named are the files that events are about, and the directories where one came
// or went. An event is a struct inotify_event: see inotify(7).
func (o *ownChanges) named(events []byte) map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := map[string]bool{}
	for len(events) >= unix.SizeofInotifyEvent {
		watch, mask := int(int32(binary.NativeEndian.Uint32(events))), binary.NativeEndian.Uint32(events[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		name := strings.TrimRight(string(events[unix.SizeofInotifyEvent:end]), "\x00")
		events = events[end:]
		dir, known := o.dirs[watch]
		if !known || name == "" {
			continue
		}
		name = path.Join(dir, name)
		if mask&(unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVE) != 0 {
			names[dir] = true
		} else if o.expected[name] {
			delete(o.expected, name)
			continue
		}
		names[name] = true
	}
	return names
}

func (o *ownChanges) note(name string) {
	now, err := look(unix.AT_FDCWD, name)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.left) >= mostLeft {
		clear(o.left)
	}
	if err == nil {
		o.left[name] = now
	} else {
		delete(o.left, name)
	}
}
