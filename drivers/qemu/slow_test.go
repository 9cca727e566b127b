package qemu_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/qemu"
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
// interrupted, and the next one finds it.
func TestWhoDoesNotWaitKillsNothing(t *testing.T) {
	d, m := slow(t, "2"), machine(t, t.TempDir())
	created(t, d, m)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := d.Start(ctx, m); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("start: %v, want that its time is over", err)
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("it waited for %s", took)
	}
	was := is(t, d, m, drivers.Running)
	until(t, "the machine is there", func() bool { return is(t, d, m, drivers.Running).Detail == "" })
	if now := is(t, d, m, drivers.Running); now.PID != was.PID {
		t.Errorf("process %d, want %d", now.PID, was.PID)
	}
}
