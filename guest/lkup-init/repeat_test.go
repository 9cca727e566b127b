//go:build linux

package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// told is a host that has changes repeated.
type told struct {
	*json.Encoder
	*json.Decoder
}

func (h told) repeat(t *testing.T, said guest.Repeat) int {
	t.Helper()
	var done guest.Repeated
	if err := h.Encode(said); err != nil {
		t.Fatal(err)
	}
	if err := h.Decode(&done); err != nil {
		t.Fatal(err)
	}
	return done.Changes
}

func repeating(t *testing.T) told {
	t.Helper()
	ours, theirs := net.Pipe()
	over := make(chan error, 1)
	go func() { over <- repeat(theirs) }()
	t.Cleanup(func() {
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return told{json.NewEncoder(ours), json.NewDecoder(ours)}
}

func changed(t *testing.T, path string, byTime bool) guest.Changed {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		t.Fatal(err)
	}
	return guest.Changed{Path: path, Mode: s.Mode & 0o7777, Modified: s.Mtim.Nano(), ByTime: byTime}
}

func write(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(path), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// heard is what a watcher of a directory hears until a file called end is there.
func heard(t *testing.T, watcher *fsnotify.Watcher, dir string) []string {
	t.Helper()
	write(t, filepath.Join(dir, "end"), 0o644)
	var all []string
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		select {
		case e := <-watcher.Events:
			name := strings.TrimPrefix(e.Name, dir+"/")
			if name == "end" {
				return all
			}
			all = append(all, e.Op.String()+" "+name)
		case <-limit.C:
			t.Fatalf("the end was not heard, but %v", all)
		}
	}
}

func watch(t *testing.T, dir string) *fsnotify.Watcher {
	t.Helper()
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watcher.Close() })
	if err := watcher.Add(dir); err != nil {
		t.Fatal(err)
	}
	return watcher
}

func TestWatchersHearOfTheHostsChangesAndNothingIsChanged(t *testing.T) {
	dir := t.TempDir()
	timed, moded := write(t, filepath.Join(dir, "timed"), 0o644), write(t, filepath.Join(dir, "moded"), 0o755)
	odd := write(t, filepath.Join(dir, "two\nlines"), 0o600)
	link, owner := filepath.Join(dir, "link"), write(t, filepath.Join(dir, "owner"), 0o755)
	if err := os.Symlink("timed", link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(owner, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	edited, older := changed(t, timed, true), changed(t, moded, false)
	edited.Modified--
	older.Mode = 0o644
	all := []guest.Changed{
		changed(t, timed, true), changed(t, moded, false), changed(t, odd, true), changed(t, link, true),
		edited, older, changed(t, link, false), changed(t, owner, false), {Path: filepath.Join(dir, "gone")},
	}
	watcher := watch(t, dir)
	if n := repeating(t).repeat(t, guest.Repeat{Hold: []string{dir}, Changed: all}); n != 4 {
		t.Errorf("%d were repeated, want 4", n)
	}
	if diff := cmp.Diff([]string{"WRITE timed", "CHMOD moded", "WRITE two\nlines", "WRITE link"}, heard(t, watcher, dir)); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	for _, was := range []guest.Changed{all[0], all[1], all[2]} {
		if diff := cmp.Diff(was, changed(t, was.Path, was.ByTime)); diff != "" {
			t.Errorf("%s (-was +is):\n%s", was.Path, diff)
		}
		if content, err := os.ReadFile(was.Path); err != nil || string(content) != was.Path {
			t.Errorf("%s holds %q, %v", was.Path, content, err)
		}
	}
}

// What the guest's own programs did has been heard; what the host does to the
// same file after that has not.
func TestTheGuestsOwnChangesAreNotRepeated(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	host := repeating(t)
	host.repeat(t, guest.Repeat{Hold: []string{dir, sub}})
	own := write(t, filepath.Join(sub, "own"), 0o644)
	if n := host.repeat(t, guest.Repeat{Changed: []guest.Changed{changed(t, own, true)}}); n != 0 {
		t.Error("what the guest wrote is repeated")
	}
	if n := host.repeat(t, guest.Repeat{Changed: []guest.Changed{changed(t, sub, true)}}); n != 0 {
		t.Error("so is the directory in which it made a file")
	}
	host.repeat(t, guest.Repeat{Release: []string{sub}}) // so that the next is another's, as the host's is
	if err := os.Chtimes(own, time.Time{}, time.Unix(1_700_000_000, 5)); err != nil {
		t.Fatal(err)
	}
	if n := host.repeat(t, guest.Repeat{Changed: []guest.Changed{changed(t, own, true)}}); n != 1 {
		t.Errorf("%d of the host's changes of it were repeated, want 1", n)
	}
}

// The host may be faster than who hears of it here.
func TestTheGuestsOwnChangesAreKnownBeforeTheyWereHeardOf(t *testing.T) {
	own, err := newOwnChanges()
	if err != nil {
		t.Fatal(err)
	}
	defer own.events.Close()
	r, dir := repeater{held: map[string]held{}, own: own}, t.TempDir()
	r.do(guest.Repeat{Hold: []string{dir}})
	defer r.release(dir)
	if n := r.do(guest.Repeat{Changed: []guest.Changed{changed(t, write(t, filepath.Join(dir, "own"), 0o644), true)}}).Changes; n != 0 {
		t.Error("what the guest wrote is repeated")
	}
}

func TestADirectoryIsHeldUntilItIsReleasedOrTheHostGoes(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for _, d := range []string{one, two} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	open := func() (all []string) {
		fds, _ := filepath.Glob("/proc/self/fd/*")
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, dir) {
				all = append(all, strings.TrimPrefix(target, dir+"/"))
			}
		}
		return all
	}
	t.Run("connected", func(t *testing.T) {
		host := repeating(t)
		host.repeat(t, guest.Repeat{Hold: []string{one, two, filepath.Join(dir, "none")}})
		host.repeat(t, guest.Repeat{Hold: []string{one}, Release: []string{two}})
		if diff := cmp.Diff([]string{"one"}, open()); diff != "" {
			t.Errorf("held (-want +got):\n%s", diff)
		}
	})
	if left := open(); left != nil {
		t.Errorf("%v are held for nobody", left)
	}
}
