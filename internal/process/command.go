package process

import (
	"context"
	"os/exec"
	"syscall"
)

// Command is [exec.CommandContext] for a program that works for lkup: in a
// process group of its own, so that Ctrl-C reaches lkup alone, which says what
// it does about it, and ends the program by ctx if it is to end.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}
