package process_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/lkup/lkup/internal/process"
)

func TestEndUnderEndsWhatHasTheEntryAlone(t *testing.T) {
	start := func(entry string) *exec.Cmd {
		cmd := exec.Command("sleep", "60")
		cmd.Env = append(os.Environ(), entry)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	ours, longer := start("MARKED=run-1"), start("MARKED=run-12")
	if ended, err := process.EndUnder("MARKED=run-1"); ended != 1 || err != nil {
		t.Errorf("%d ended, %v", ended, err)
	}
	if err := ours.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the one that was meant: %v", err)
	}
	if i, err := process.Of(longer.Process.Pid, "sleep"); err != nil || i.Verify() != process.Yes {
		t.Errorf("another one: %v, %v", i, err)
	}
}
