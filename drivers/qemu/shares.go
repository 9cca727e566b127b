package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/share"
)

// served are the shares of a machine that have protected paths.
func served(m drivers.Machine) []share.Served {
	var all []share.Served
	for _, s := range m.Shares {
		if len(s.Protect) > 0 {
			all = append(all, share.Served{Dir: s.Host, ReadOnly: s.ReadOnly, Protect: s.Protect})
		}
	}
	return all
}

// serve starts the process that serves a machine's shares with protected
// paths, and gives QEMU's ends of its connections. Nothing else holds either
// end: it lives exactly as long as QEMU, or as the caller, until QEMU has them.
// The machine's mark does not stand in its command line, for it is not the
// machine.
func (d *Driver) serve(m drivers.Machine) (ends []*os.File, err error) {
	all := served(m)
	if len(all) == 0 {
		return nil, nil
	}
	if len(d.settings.FileServer) == 0 {
		return nil, errors.New("nobody serves shares with protected paths here")
	}
	for _, s := range all {
		if err := share.Enforceable(s.Dir, s.Protect); err != nil {
			return nil, err
		}
	}
	var theirs []*os.File
	defer func() {
		closeAll(theirs)
		if err != nil {
			closeAll(ends)
		}
	}()
	for range all {
		pair, err := connection()
		if err != nil {
			return ends, fmt.Errorf("connect the shares: %w", err)
		}
		ends, theirs = append(ends, pair[0]), append(theirs, pair[1])
	}
	said, err := os.OpenFile(filesLog(m), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return ends, local.Full(err, m.Dir)
	}
	defer said.Close()
	command := append(append([]string{}, d.settings.FileServer...), share.Encode(all))
	cmd := exec.Command(command[0], command[1:]...)
	cmd.ExtraFiles = theirs
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Dir = "/"
	cmd.Env = append([]string{}, d.settings.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return ends, fmt.Errorf("serve the shares: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaps it; what it had to say stands in the log
	return ends, nil
}

// connection is two ends that no other process gets by chance.
func connection() ([2]*os.File, error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return [2]*os.File{}, err
	}
	return [2]*os.File{os.NewFile(uintptr(pair[0]), "qemu"), os.NewFile(uintptr(pair[1]), "files")}, nil
}
