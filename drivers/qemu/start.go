package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/process"
)

// startLimit is how long QEMU may take to answer on its monitor. It does so
// before the guest runs, in some 50 ms.
const startLimit = 20 * time.Second

// Start starts QEMU on its own: in a session of its own, holding the machine's
// lock, its sockets already listening.
func (d *Driver) Start(ctx context.Context, m drivers.Machine) error {
	if len(consolePath(m)) > maxSocketPath {
		return fmt.Errorf("the path %s is too long for a socket (at most %d bytes); set LKUP_RUNTIME_DIR to a shorter directory", consolePath(m), maxSocketPath)
	}
	status, err := d.Status(ctx, m)
	if err != nil {
		return err
	}
	switch status.State {
	case drivers.Running:
		return nil
	case drivers.Paused:
		_, err := ask(ctx, monitorPath(m), "cont")
		return err
	case drivers.Unknown:
		return errors.New(status.Detail)
	case drivers.Absent:
		return fmt.Errorf("%s was not created", m.Address)
	case drivers.Stopped:
	}
	program, err := d.ready(m)
	if err != nil {
		return err
	}
	return d.launch(ctx, program, m)
}

// maxSocketPath is macOS's limit, the smaller of the two.
const maxSocketPath = 103

// ready checks all that can be checked before a process is made.
func (d *Driver) ready(m drivers.Machine) (program string, err error) {
	if program, err = d.program(binaryFor(m.Arch)); err != nil {
		return "", err
	}
	needed := append([]string{}, m.Boot.Initrds...)
	if m.Boot.Kernel != "" {
		needed = append(needed, m.Boot.Kernel)
	}
	for _, path := range needed {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("a file of the image is missing: %w", err)
		}
	}
	for _, s := range m.Shares {
		if info, err := os.Stat(s.Host); err != nil || !info.IsDir() {
			return "", fmt.Errorf("the shared directory %s is not there", s.Host)
		}
	}
	for _, p := range m.Ports {
		if err := portFree(p); err != nil {
			return "", err
		}
	}
	if len(m.Boot.Initrds) > 1 {
		err = joinFiles(initrdPath(m), m.Boot.Initrds)
	}
	return program, err
}

// program finds a program, or says how to install it.
func (d *Driver) program(name string) (string, error) {
	path, err := d.settings.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed; type: %s", name, installHint(name))
	}
	return path, nil
}

func installHint(program string) string {
	if runtime.GOOS == "darwin" {
		return "brew install qemu"
	}
	switch program {
	case "qemu-img":
		return "sudo apt-get install qemu-utils"
	case "qemu-system-aarch64":
		return "sudo apt-get install qemu-system-arm"
	}
	return "sudo apt-get install qemu-system-x86"
}

// portFree tells early, and with a name, what QEMU would only say is impossible.
func portFree(p drivers.Port) error {
	where := net.JoinHostPort(p.Address, strconv.Itoa(p.Host))
	var err error
	if p.Protocol == "udp" {
		var c net.PacketConn
		if c, err = net.ListenPacket("udp", where); err == nil {
			return c.Close()
		}
	} else {
		var l net.Listener
		if l, err = net.Listen("tcp", where); err == nil {
			return l.Close()
		}
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("host port %d cannot be used: %w", p.Host, err)
	}
	holder, _ := process.Holder(p.Address, p.Host, p.Protocol)
	return fmt.Errorf("host port %s is held by %s; end it, or change host of the port block for guest port %d", where, holder, p.Guest)
}

// joinFiles writes files one after another, each from a multiple of four
// bytes, as the kernel wants archives in an initrd.
func joinFiles(path string, parts []string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, part := range parts {
		in, err := os.Open(part)
		if err != nil {
			return err
		}
		n, err := io.Copy(out, in) // in the kernel, where it can
		_ = in.Close()
		if err == nil && n%4 != 0 {
			_, err = out.Write(make([]byte, 4-n%4))
		}
		if err != nil {
			return fmt.Errorf("write the initrd: %w", err)
		}
	}
	return nil
}

// launch starts the process and waits until its monitor answers.
func (d *Driver) launch(ctx context.Context, program string, m drivers.Machine) error {
	lock, err := takeLock(filepath.Join(m.Dir, lockFile))
	if err != nil {
		return err
	}
	defer lock.Close() // QEMU has a descriptor of the same lock
	files := []*os.File{lock}
	for _, path := range []string{monitorPath(m), consolePath(m)} {
		f, err := listen(path)
		if err != nil {
			return err
		}
		defer f.Close()
		files = append(files, f)
	}
	messages, err := os.OpenFile(filepath.Join(m.Dir, errorLog), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer messages.Close()

	h := d.host(m.Arch)
	h.monitor, h.console = 4, 5 // the second and third of ExtraFiles, which begin at 3
	cmd := exec.Command(program, args(m, h)...)
	cmd.ExtraFiles = files
	cmd.Stdout, cmd.Stderr = messages, messages
	cmd.Dir = m.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.Dir, "TMPDIR=" + os.TempDir()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start QEMU: %w\n  %s", err, d.CommandLine(m))
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // it ends with QEMU, or with this process
	return d.await(ctx, m, cmd.Process.Pid, exited)
}

// await records the process once it is QEMU and its monitor answers. A process
// that ends before is an error, with what it said.
func (d *Driver) await(ctx context.Context, m drivers.Machine, pid int, exited <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		q, err := dialMonitor(ctx, monitorPath(m))
		if err == nil {
			q.close()
		}
		answered <- err
	}()
	select {
	case err := <-exited:
		return d.died(m, err)
	case err := <-answered:
		select {
		case err := <-exited:
			return d.died(m, err)
		default:
		}
		if err != nil {
			return fmt.Errorf("QEMU (process %d) does not answer on its monitor: %w", pid, err)
		}
	}
	i, err := process.Of(pid, m.Nonce)
	if err != nil {
		return d.died(m, err)
	}
	return writeRun(m, run{Identity: i, Started: time.Now().UTC().Round(0), Ports: m.Ports, Memory: m.Memory})
}

// died says what QEMU said before it ended.
func (d *Driver) died(m drivers.Machine, err error) error {
	said, readErr := os.ReadFile(filepath.Join(m.Dir, errorLog))
	if readErr != nil {
		said = nil
	}
	for _, p := range m.Ports { // somebody may have taken one just now
		if held := portFree(p); held != nil {
			return held
		}
	}
	reason := "without a word"
	if err != nil {
		reason = "with " + err.Error()
	}
	return fmt.Errorf("QEMU ended at once, %s\n%s", reason, indent(string(said)))
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

// listen makes a socket that only this user may connect to.
func listen(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	return l.File()
}
