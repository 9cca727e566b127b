package qemu

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/spec"
)

// errComma is of a directory that would end one of virtiofsd's options, and
// begin another.
var errComma = errors.New("virtiofsd takes no directory with a comma in its name")

func virtiofsPath(m drivers.Machine, n int) string {
	return filepath.Join(m.RunDir, "virtiofs"+strconv.Itoa(n))
}

func virtiofsLog(m drivers.Machine) string { return filepath.Join(m.Dir, "virtiofs.log") }

// overVirtiofs counts the shares that virtiofsd serves.
func overVirtiofs(m drivers.Machine) int {
	count := 0
	for _, s := range m.Shares {
		if s.Type == spec.ShareVirtiofs {
			count++
		}
	}
	return count
}

// checkVirtiofs finds shares over virtiofs that this host cannot have.
func (d *Driver) checkVirtiofs(vm spec.VM) []drivers.Problem {
	var problems []drivers.Problem
	for _, s := range vm.Shares {
		if s.Type != spec.ShareVirtiofs {
			continue
		}
		p := drivers.Problem{Attribute: s.Attribute()}
		_, err := d.virtiofsd()
		switch {
		case runtime.GOOS != "linux":
			p.Summary, p.Hint = "virtiofs takes a Linux host", `Take out type = "virtiofs".`
		case err != nil:
			p.Summary, p.Hint = "virtiofsd is not installed", `Type sudo apt-get install virtiofsd (on Debian 12, qemu-system-common), or take out type = "virtiofs".`
		case strings.Contains(s.Host, ","):
			p.Summary, p.Hint = errComma.Error(), `Give it another name, or take out type = "virtiofs".`
		case s.ReadOnly:
			p.Summary, p.Hint = "virtiofsd cannot keep a guest from writing", `Take out type = "virtiofs", or "read_only".`
		default:
			continue
		}
		problems = append(problems, p)
	}
	return problems
}

// virtiofsd finds the program where Debian and others have it.
func (d *Driver) virtiofsd() (string, error) {
	for _, name := range []string{"virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"} {
		if path, err := d.settings.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("virtiofsd is not installed")
}

// serveVirtiofs starts a virtiofsd for each share over virtiofs, and gives
// QEMU's ends of their connections. Nothing else holds them: each lives exactly
// as long as QEMU, or as the caller, until QEMU has them.
func (d *Driver) serveVirtiofs(m drivers.Machine) (ends []*os.File, err error) {
	if overVirtiofs(m) == 0 {
		return nil, nil
	}
	program, err := d.virtiofsd()
	if err != nil {
		return nil, err
	}
	said, err := os.OpenFile(virtiofsLog(m), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, local.Full(err, m.Dir)
	}
	defer said.Close()
	for n, s := range m.Shares {
		if s.Type != spec.ShareVirtiofs {
			continue
		}
		end, err := d.startVirtiofsd(program, s.Host, virtiofsPath(m, n), said)
		if err != nil {
			closeAll(ends)
			return nil, fmt.Errorf("serve the share %s: %w", s.Guest, err)
		}
		ends = append(ends, end)
	}
	return ends, nil
}

// startVirtiofsd gives a daemon a socket that somebody has connected to already:
// it serves that connection alone, and ends with it.
func (d *Driver) startVirtiofsd(program, dir, socket string, said *os.File) (*os.File, error) {
	if strings.Contains(dir, ",") {
		return nil, errComma
	}
	listener, err := listen(socket)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer conn.Close() // the file is another descriptor
	if err := local.Remove(socket); err != nil {
		return nil, err
	}
	end, err := conn.File()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--fd=3", "-o", "source="+dir, "-o", "cache=auto", "-o", "sandbox=namespace")
	cmd.ExtraFiles = []*os.File{listener}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Dir, cmd.Env = "/", append([]string{}, d.settings.Env...)
	cmd.SysProcAttr = ownUser()
	if err := cmd.Start(); err != nil {
		closeAll([]*os.File{end})
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // reaps it; what it had to say stands in the log
	return end, nil
}
