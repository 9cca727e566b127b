package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
)

// garbageInFiles: a disk that was full, or an editor, leaves nonsense in what
// a driver wrote. It must not lose the machine for it, nor start it twice. The
// guest is up before, for QEMU maps an initrd until it has loaded it, and dies of
// one that is cut short.
func garbageInFiles(t *testing.T, s *scene) {
	was := s.start(t, s.m)
	s.up(t, s.m, 1)
	for _, path := range files(t, s.m.Dir) {
		if filepath.Base(path) == drivers.ConsoleLog {
			continue
		}
		if err := os.WriteFile(path, []byte("{\x00garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.d = s.h.Driver(t)
	if now := s.running(t, s.m); now.PID != was.PID {
		t.Errorf("process %d runs, want %d", now.PID, was.PID)
	}
	if err := s.d.Start(s.ctx, s.m); err != nil {
		t.Errorf("start what runs: %v", err)
	}
	if now := s.running(t, s.m); now.PID != was.PID {
		t.Errorf("process %d was started besides %d", now.PID, was.PID)
	}
	if report := s.stop(t, s.m, 0); report.By == drivers.StopNone {
		t.Error("it was stopped by nothing")
	}
	s.is(t, s.m, drivers.Stopped)
	s.start(t, s.m)
}

// files are the regular files of a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// otherLife: what runs in a machine's place with another nonce is another
// machine's, of a restored directory for instance, and is left alone.
func otherLife(t *testing.T, s *scene) {
	was := s.start(t, s.m)
	other := s.m
	other.Nonce = strings.Repeat("0", len(s.m.Nonce))
	if status := s.status(t, other); status.State == drivers.Running || status.State == drivers.Paused || status.PID != 0 {
		t.Errorf("it takes another's process for its own: %+v", status)
	}
	if report, err := s.d.Stop(s.ctx, other, 0); err == nil && report.By != drivers.StopNone {
		t.Errorf("it claims to have stopped another's process by %q", report.By)
	}
	if err := s.d.Start(s.ctx, other); err == nil {
		t.Error("it starts in the place of another")
	}
	if diff := cmp.Diff(was, s.running(t, s.m)); diff != "" {
		t.Errorf("the other one changed (-before +after):\n%s", diff)
	}
}

// directoryGone: a machine whose directory somebody removed is absent, and can
// be deleted.
func directoryGone(t *testing.T, s *scene) {
	s.create(t, s.m)
	for _, dir := range []string{s.m.Dir, s.m.RunDir} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	s.is(t, s.m, drivers.Absent)
	if report := s.stop(t, s.m, time.Second); report.By != drivers.StopNone {
		t.Errorf("stopped by %q, though nothing ran", report.By)
	}
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := s.d.Create(s.ctx, s.m); err == nil {
		t.Error("it was created in a directory that is not there")
	}
	s.is(t, s.m, drivers.Absent)
}

// createCancelled: what is cancelled beforehand makes nothing.
func createCancelled(t *testing.T, s *scene) {
	over, cancel := context.WithCancel(s.ctx)
	cancel()
	s.m.Volumes = []drivers.Volume{{Name: "data", Path: filepath.Join(t.TempDir(), "data"), Format: "raw", Size: 8}}
	if err := s.d.Create(over, s.m); !errors.Is(err, context.Canceled) {
		t.Errorf("create: %v, want context.Canceled", err)
	}
	s.is(t, s.m, drivers.Absent)
	if _, err := os.Stat(s.m.Volumes[0].Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made a volume: %v", err)
	}
}

// deadline: time that is over ends the waiting, and no guest.
func deadline(t *testing.T, s *scene) {
	was := s.start(t, s.m)
	soon, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
	defer cancel()
	_, err := s.d.Stop(soon, s.m, time.Hour)
	switch {
	case err == nil: // its guest was quicker
		s.is(t, s.m, drivers.Stopped)
	case !errors.Is(err, context.DeadlineExceeded):
		t.Errorf("stop: %v, want context.DeadlineExceeded", err)
	default:
		if now := s.status(t, s.m); now.State == drivers.Running && now.PID != was.PID {
			t.Errorf("another process runs: %+v, was %+v", now, was)
		}
	}
}

// nothingLeft: after Delete there is nothing outside of the machine's own
// directory, whatever went before.
func nothingLeft(t *testing.T, s *scene) {
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	s.kill(t, s.start(t, s.m))
	s.start(t, s.m)
	s.stop(t, s.m, 0)
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(s.m.RunDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range left {
		t.Errorf("it leaves %s in its directory for sockets", entry.Name())
	}
}

// secretSeed holds a secret, as a seed does; it is an archive of one file.
const secretSeed = "hunter2-of-the-seed"

// seedGone: a seed holds keys, and no copy of it may lie about once the
// machine has read it.
func seedGone(t *testing.T, s *scene) {
	seed := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seed, archive("secret", secretSeed), 0o600); err != nil {
		t.Fatal(err)
	}
	s.m.Boot.Seed = []string{seed}
	s.start(t, s.m)
	if err := os.Remove(seed); err != nil {
		t.Fatal(err)
	}
	s.up(t, s.m, 1)
	if err := s.d.Start(s.ctx, s.m); err != nil { // as the next apply does, which finds it up
		t.Errorf("start what runs: %v", err)
	}
	for _, dir := range []string{s.m.Dir, s.m.RunDir} {
		for _, path := range files(t, dir) {
			if content, err := os.ReadFile(path); err != nil || bytes.Contains(content, []byte(secretSeed)) {
				t.Errorf("%s holds the seed's secret, or cannot be read: %v", path, err)
			}
		}
	}
}

// archive is a cpio archive, as kernels take them, of one file.
func archive(name, content string) []byte {
	var b bytes.Buffer
	entry := func(name, content string, mode, links int) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			0, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		pad(&b)
		b.WriteString(content)
		pad(&b)
	}
	entry(name, content, 0o100600, 1)
	entry("TRAILER!!!", "", 0, 1)
	return b.Bytes()
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}

// logGone: the console's log may be removed while nothing runs.
func logGone(t *testing.T, s *scene) {
	s.start(t, s.m)
	s.stop(t, s.m, 0)
	if err := os.Remove(filepath.Join(s.m.Dir, drivers.ConsoleLog)); err != nil {
		t.Fatal(err)
	}
	s.start(t, s.m)
	if info, err := os.Stat(filepath.Join(s.m.Dir, drivers.ConsoleLog)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after the next start: %v, %v, want a log with mode 600", info, err)
	}
}

// logUnwritable: what cannot be logged is not started.
func logUnwritable(t *testing.T, s *scene) {
	path := filepath.Join(s.m.Dir, drivers.ConsoleLog)
	s.m.Ports = []drivers.Port{s.port(t, "tcp", 80)}
	s.create(t, s.m)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.d.Start(s.ctx, s.m); err == nil || !strings.Contains(err.Error(), drivers.ConsoleLog) {
		t.Errorf("start: %v, want an error that names %s", err, drivers.ConsoleLog)
	}
	s.is(t, s.m, drivers.Stopped)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.start(t, s.m)
}

// volumeOfAnotherFormat: a file that is not what it should be is somebody's
// data, and is neither used nor touched.
func volumeOfAnotherFormat(t *testing.T, s *scene) {
	path := filepath.Join(t.TempDir(), "data")
	content := bytes.Repeat([]byte("somebody's data "), 1<<16)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s.m.Volumes = []drivers.Volume{{Name: "data", Path: path, Format: "qcow2", Size: 8}}
	if err := s.d.Create(s.ctx, s.m); err == nil || !strings.Contains(err.Error(), "data") || !strings.Contains(err.Error(), "qcow2") {
		t.Errorf("create: %v, want an error that names the volume and the format", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(content, after) {
		t.Errorf("the file was changed: %v", err)
	}
	s.m.Volumes = nil
	s.start(t, s.m)
}

// volumeContent: what lies on a volume is nobody's to change but the guest's.
func volumeContent(t *testing.T, s *scene) {
	path := filepath.Join(t.TempDir(), "data")
	s.m.Volumes = []drivers.Volume{{Name: "data", Path: path, Format: "raw", Size: 8}}
	s.create(t, s.m)
	content := bytes.Repeat([]byte(strconv.Itoa(8<<20/4)), 8<<20/7)
	if err := os.WriteFile(path, append(content, make([]byte, 8<<20-len(content))...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t, s.m)
	s.stop(t, s.m, 0)
	s.m.Volumes[0].Size = 9
	s.start(t, s.m)
	s.stop(t, s.m, 0)
	if err := s.d.Delete(s.ctx, s.m); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || len(after) != 9<<20 || !bytes.HasPrefix(after, content) || len(bytes.Trim(after[len(content):], "\x00")) != 0 {
		t.Errorf("after a growth from 8 to 9 MiB it has %d bytes, %v, or others than before", len(after), err)
	}
}

// volumeShared: machines that only read a volume have it at the same time.
func volumeShared(t *testing.T, s *scene) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	second := s.machine(t, t.TempDir())
	for _, m := range []*drivers.Machine{&s.m, &second} {
		m.Volumes = []drivers.Volume{{Name: "data", Path: path, Format: "raw", Size: 8, ReadOnly: true}}
		if diff := cmp.Diff(map[string]int{"data": 8}, s.start(t, *m).Volumes); diff != "" {
			t.Errorf("sizes (-want +got):\n%s", diff)
		}
	}
	s.running(t, s.m)
}

// volumeAttachedLater: a start obeys what it is told of volumes.
func volumeAttachedLater(t *testing.T, s *scene) {
	if got := s.start(t, s.m).Volumes; len(got) != 0 {
		t.Errorf("without volumes, it has %v", got)
	}
	s.stop(t, s.m, 0)
	dir := t.TempDir()
	s.m.Volumes = []drivers.Volume{{Name: "b", Path: filepath.Join(dir, "b"), Format: "raw", Size: 8}, {Name: "a", Path: filepath.Join(dir, "a"), Format: "raw", Size: 4}}
	if diff := cmp.Diff(map[string]int{"a": 4, "b": 8}, s.start(t, s.m).Volumes); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
	s.stop(t, s.m, 0)
	s.m.Volumes = s.m.Volumes[1:]
	if diff := cmp.Diff(map[string]int{"a": 4}, s.start(t, s.m).Volumes); diff != "" {
		t.Errorf("sizes without one (-want +got):\n%s", diff)
	}
}
