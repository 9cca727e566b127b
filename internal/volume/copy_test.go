package volume_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lkup/lkup/internal/volume"
)

// asked is a context that does something when somebody asks whether it is over,
// which a copy does once it knows what it copies, and again as it goes on.
type asked struct {
	context.Context
	then func() error
}

func (a asked) Err() error { return a.then() }

// brought is a disk of 2 MiB in a format, with a text at its beginning.
func brought(t *testing.T, format string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "disk")
	if err := os.WriteFile(path, patched(make([]byte, 2<<20), 0, []byte("kept")), 0o600); err != nil {
		t.Fatal(err)
	}
	if format == "qcow2" {
		convert(t, path, path+".qcow2")
		path += ".qcow2"
	}
	return path
}

// TestWhoeverWritesToADiskMeanwhileGainsNothing: what is brought may lie in a
// share, where a guest can put another in its place after it was looked at.
func TestWhoeverWritesToADiskMeanwhileGainsNothing(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"raw", "qcow2"} {
		for _, to := range []string{"raw", "qcow2"} {
			from, dir := brought(t, of), t.TempDir()
			kept := filepath.Join(dir, "disk")
			if err := os.WriteFile(kept, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			leads := read(t, brought(t, "qcow2"))
			leads = patched(leads, 8, []byte{0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 11}) // the name of its backing file is at 512, and so long
			leads = patched(leads, 512, []byte("/etc/passwd"))
			if of == "raw" && to == "raw" {
				leads = read(t, brought(t, "qcow2")) // it leads nowhere, and is not what it was
			}
			swapping := asked{t.Context(), func() error { return os.WriteFile(from, leads, 0o600) }}
			err := disks.Take(swapping, from, kept, to)
			if err == nil || !strings.Contains(err.Error(), "was changed while it was copied: ") {
				t.Errorf("%s to %s: %v", of, to, err)
			}
			alone(t, kept, "before")
		}
	}
}

// TestACopyThatEndsEarlyLeavesWhatWasThere, and no part of itself, which would
// take the room that may be what is missing.
func TestACopyThatEndsEarlyLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"raw", "qcow2"} {
		from, kept := brought(t, of), filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(kept, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		questions := 0
		interrupted := asked{t.Context(), func() error {
			if questions++; questions > 2 {
				return context.Canceled
			}
			return nil
		}}
		if err := disks.Take(interrupted, from, kept, of); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v after %d questions", of, err, questions)
		}
		alone(t, kept, "before")
		failing := volume.Disks{LookPath: func(string) (string, error) { return "/bin/false", nil }}
		if err := failing.Take(t.Context(), from, kept, map[string]string{"raw": "qcow2", "qcow2": "raw"}[of]); err == nil {
			t.Errorf("%s: a program that fails is taken for one that worked", of)
		}
		alone(t, kept, "before")
	}
}

func TestADiskThatIsBroughtIsTakenWhole(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"raw", "qcow2"} {
		from, to := brought(t, of), filepath.Join(t.TempDir(), "disk")
		if err := os.Chmod(from, 0o444); err != nil {
			t.Fatal(err)
		}
		if err := disks.Take(t.Context(), from, to, "raw"); err != nil {
			t.Fatal(err)
		}
		alone(t, to, string(patched(make([]byte, 2<<20), 0, []byte("kept"))))
		if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want a private file", of, info, err)
		}
	}
}

func TestWhatIsNoDiskIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, misnamed := filepath.Join(dir, "pipe"), filepath.Join(dir, "disk.raw")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(misnamed, read(t, brought(t, "qcow2")), 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "it is no regular file", dir: "it is no regular file", "/dev/zero": "it is no regular file",
		misnamed: "its name says raw",
	} {
		if _, err := disks.Fits(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", path, err, want)
		}
	}
}

// alone demands that a file holds something, and that nothing is beside it.
func alone(t *testing.T, path, want string) {
	t.Helper()
	if !bytes.Equal([]byte(want), read(t, path)) {
		t.Errorf("%s has other content", path)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside it: %v, %v", left, err)
	}
}
