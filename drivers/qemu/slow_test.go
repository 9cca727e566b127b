package qemu_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/qemu"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/seed"
)

// slow is a driver whose QEMU takes some seconds until it begins, as on a host
// that has much else to do.
func slow(t *testing.T, seconds string) *qemu.Driver {
	t.Helper()
	wrapper := filepath.Join(t.TempDir(), "qemu")
	return qemu.New(qemu.Settings{
		LookPath: func(name string) (string, error) {
			real, err := exec.LookPath(name)
			if err != nil {
				return "", err
			}
			script := "#!/bin/sh\nsleep " + seconds + " 3>&- 4>&- 5>&-\nexec " + real + ` "$@"` + "\n"
			return wrapper, os.WriteFile(wrapper, []byte(script), 0o700)
		},
		Env: []string{"PATH=" + os.Getenv("PATH")},
	})
}

func TestASlowStartIsWaitedFor(t *testing.T) {
	d, m := slow(t, "4"), machine(t, t.TempDir())
	launched(t, d, m)
}

// TestWhoDoesNotWaitKillsNothing: the start goes on after its caller was
// interrupted and took its seed away, and the next one finds it.
func TestWhoDoesNotWaitKillsNothing(t *testing.T) {
	d, m := slow(t, "2"), machine(t, t.TempDir())
	created(t, d, m)
	seeded := m
	seeded.Boot.Seed = []string{seedFile(t)}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := d.Start(ctx, seeded); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("start: %v, want that its time is over", err)
	}
	if err := os.Remove(seeded.Boot.Seed[0]); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("it waited for %s", took)
	}
	was := is(t, d, m, drivers.Running)
	until(t, "the machine is there", func() bool { return is(t, d, m, drivers.Running).Detail == "" })
	if now := is(t, d, m, drivers.Running); now.PID != was.PID {
		t.Errorf("process %d, want %d", now.PID, was.PID)
	}
	if err := d.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	noTrace(t, m)
}

func TestTheSeedIsReadAndGone(t *testing.T) {
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	m.Boot.Seed = []string{seedFile(t)}
	launched(t, d, m)
	noTrace(t, m)
}

func TestTheSeedOfAFailedStartIsGone(t *testing.T) {
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	m.Boot.Seed = []string{seedFile(t)}
	m.CPUs = 100_000
	created(t, d, m)
	var exit *qemu.ExitError
	if err := d.Start(t.Context(), m); !errors.As(err, &exit) {
		t.Fatalf("start: %v, want that QEMU ended", err)
	}
	noTrace(t, m)
}

const secret = "a seed nobody else may read"

// seedFile writes the settings of a guest that is given a secret.
func seedFile(t *testing.T) string {
	t.Helper()
	archive, err := seed.Archive(guest.Config{Env: map[string]string{"TOKEN": secret}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "seed.cpio")
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// noTrace looks for the seed in all that the driver wrote.
func noTrace(t *testing.T, m drivers.Machine) {
	t.Helper()
	for _, dir := range []string{m.Dir, m.RunDir} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(filepath.Join(dir, path))
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds the seed", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
