package main

import (
	"os/exec"
	"runtime"
	"syscall"
)

// runTied runs a command that is told to end when this process ends, however
// that ends. The thread that starts it must live as long.
func runTied(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd.Run()
}
