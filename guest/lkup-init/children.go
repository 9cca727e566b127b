//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// children starts processes and reaps them: those started here by whoever
// awaits them, orphans that process 1 inherits by reap. It is safe for
// concurrent use.
type children struct {
	mu  sync.Mutex
	own map[int]bool
}

func newChildren() *children { return &children{own: map[int]bool{}} }

// Start starts a command that Wait must await.
func (c *children) Start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.own[cmd.Process.Pid] = true
	return nil
}

// Wait awaits a command that Start started.
func (c *children) Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	c.mu.Lock()
	delete(c.own, cmd.Process.Pid)
	c.mu.Unlock()
	c.reapOrphans() // one may stand behind it in the kernel's list
	return err
}

// Run starts a command and awaits it.
func (c *children) Run(cmd *exec.Cmd) error {
	if err := c.Start(cmd); err != nil {
		return err
	}
	return c.Wait(cmd)
}

// Adopt keeps a process that came here as an orphan for WaitAdopted.
func (c *children) Adopt(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own[pid] = true
}

// WaitAdopted awaits a process that was adopted.
func (c *children) WaitAdopted(pid int) error {
	var status unix.WaitStatus
	_, err := unix.Wait4(pid, &status, 0, nil)
	for errors.Is(err, unix.EINTR) {
		_, err = unix.Wait4(pid, &status, 0, nil)
	}
	c.mu.Lock()
	delete(c.own, pid)
	c.mu.Unlock()
	c.reapOrphans()
	switch {
	case err != nil:
		return err
	case status.Signaled() || status.ExitStatus() != 0:
		return adoptedError(status)
	}
	return nil
}

// adoptedError is an adopted process that ended badly.
type adoptedError unix.WaitStatus

func (e adoptedError) Error() string {
	if status := unix.WaitStatus(e); status.Signaled() {
		return fmt.Sprintf("signal: %s", status.Signal())
	}
	return fmt.Sprintf("exit status %d", unix.WaitStatus(e).ExitStatus())
}

// reap reaps orphans for ever.
func (c *children) reap() {
	died := make(chan os.Signal, 16)
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		for range died {
			c.reapOrphans()
		}
	}()
}

// reapOrphans reaps dead children up to the first that somebody awaits: that
// one's Wait comes back here.
func (c *children) reapOrphans() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		pid := deadChild()
		if pid == 0 || c.own[pid] {
			return
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil {
			return
		}
	}
}

// deadChild is the next child that has died, left as it is; 0 if there is none.
func deadChild() int {
	// The kernel's siginfo_t for SIGCHLD: three ints, on 64-bit padded to 16
	// bytes, then the pid.
	var info [128]byte
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(*(*int32)(unsafe.Pointer(&info[16])))
}
