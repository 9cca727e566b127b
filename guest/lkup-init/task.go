//go:build linux

package main

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

// cannotRun is the exit status of what could not be started, as shells have it.
const cannotRun = 126

// noteStatus remembers the first exit status that is not 0.
func (m *machine) noteStatus(status int) {
	if m.status == 0 {
		m.status = status
	}
}

// finishTask waits for the command, or without one for all services, tells the
// exit status, and ends the machine.
func (m *machine) finishTask() {
	if len(m.config.Command) > 0 {
		m.noteStatus(m.runCommand(m.config.Command))
	} else {
		for _, s := range m.services {
			<-s.over
			m.noteStatus(s.status)
		}
	}
	// At the beginning of a line, whatever the kernel has just written.
	m.write("\r\n" + guest.Exit(m.status))
	m.end(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// runCommand runs the task's own command to its end.
func (m *machine) runCommand(words []string) int {
	const name = "task"
	path, found := lookUp(words[0])
	if !found {
		m.log("%s: there is no program %q", name, words[0])
		return 127
	}
	out, err := m.newOutput(name)
	if err != nil {
		m.log("%s: %v", name, err)
		return cannotRun
	}
	cmd := exec.Command(path, words[1:]...)
	cmd.Args[0] = words[0]
	cmd.Env, cmd.Dir = m.environment(), home
	cmd.Stdout, cmd.Stderr = out.write, out.write
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	err = m.children.Start(cmd)
	out.closeWrite()
	if err != nil {
		m.log("%s: %v", name, err)
		return cannotRun
	}
	err = m.children.Wait(cmd)
	_ = out.last() // all that it wrote comes before its exit status
	if err != nil {
		m.log("%s: %v", name, err)
	}
	return exitStatus(err)
}

// lookUp finds a program as a shell would.
func lookUp(program string) (string, bool) {
	if strings.Contains(program, "/") {
		return program, true
	}
	for _, dir := range strings.Split(searchPath, ":") {
		if path := dir + "/" + program; unix.Access(path, unix.X_OK) == nil {
			return path, true
		}
	}
	return "", false
}

// exitStatus is how a process ended, as shells tell it: 128 and the signal's
// number, if a signal ended it.
func exitStatus(err error) int {
	var exit *exec.ExitError
	var adopted adoptedError
	var status syscall.WaitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		status = exit.Sys().(syscall.WaitStatus)
	case errors.As(err, &adopted):
		status = syscall.WaitStatus(adopted)
	default:
		return cannotRun
	}
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
