//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Where LinuxKit puts the bundles.
const (
	onboot     = "/containers/onboot"
	onshutdown = "/containers/onshutdown"
	services   = "/containers/services"
)

// service is a container that runs until the machine ends.
type service struct {
	name string
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended
}

// runOnboot runs the onboot containers one after another. As with LinuxKit, one
// that fails is told, and the next is run.
func (m *machine) runOnboot() { m.runInTurn(onboot) }

func (m *machine) runOnshutdown() { m.runInTurn(onshutdown) }

func (m *machine) runInTurn(dir string) {
	for _, name := range bundles(dir) {
		// A folder is NNN-name; the number only orders.
		_, short, _ := strings.Cut(name, "-")
		s, err := m.start(filepath.Join(dir, name), strings.TrimPrefix(dir, "/containers/")+"-"+name, short)
		if err != nil {
			m.log("%s: %v", short, err)
			continue
		}
		<-s.over
	}
}

func (m *machine) startServices() {
	for _, name := range bundles(services) {
		s, err := m.start(filepath.Join(services, name), name, name)
		if err != nil {
			m.log("%s: %v", name, err)
			continue
		}
		m.services = append(m.services, s)
	}
}

// bundles lists the folders of a section, sorted.
func bundles(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// start runs one bundle with runc in the background.
func (m *machine) start(bundle, id, name string) (*service, error) {
	if err := m.prepare(bundle); err != nil {
		return nil, err
	}
	logFile, err := os.OpenFile("/var/log/"+name+".log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, logFile.Close())
	}
	cmd := exec.Command("runc", "run", "--bundle", bundle, id)
	if cmd.Path, err = findRunc(); err != nil {
		return nil, errors.Join(err, logFile.Close(), read.Close(), write.Close())
	}
	cmd.Err = nil
	cmd.Env = []string{"PATH=" + searchPath}
	cmd.Stdout, cmd.Stderr = write, write
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	err = m.children.Start(cmd)
	_ = write.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(err, logFile.Close(), read.Close())
	}
	s := &service{name: name, cmd: cmd, over: make(chan struct{})}
	go m.follow(s, read, logFile)
	return s, nil
}

func findRunc() (string, error) {
	for _, dir := range strings.Split(searchPath, ":") {
		if path := dir + "/runc"; unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", errors.New("the image has no runc to run containers with; add apt:runc to the template's init list")
}

// follow writes what a container says into its log and on the console, and
// tells how it ended.
func (m *machine) follow(s *service, output io.ReadCloser, logFile io.WriteCloser) {
	var copied sync.WaitGroup
	copied.Go(func() { m.copyLines(s.name, output, logFile) })
	err := m.children.Wait(s.cmd)
	// Processes that outlive runc may hold the pipe: its end is not awaited.
	if err != nil && !m.ending() {
		m.log("%s: %v", s.name, err)
	}
	close(s.over)
	copied.Wait()
	_, _ = output.Close(), logFile.Close()
}

func (m *machine) copyLines(name string, output io.Reader, logFile io.Writer) {
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			_, _ = io.WriteString(logFile, line)
			m.write(time.Now().UTC().Format(time.RFC3339Nano) + " " + name + ": " + strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

// stopServices asks the services to end, together, and kills those that do not.
func (m *machine) stopServices() {
	m.off.begun.Store(true)
	for _, s := range m.services {
		_ = s.cmd.Process.Signal(unix.SIGTERM) // runc passes it on
		killDeaf(s.cmd.Process.Pid)
	}
	limit := time.After(stopLimit)
	for _, s := range m.services {
		select {
		case <-s.over:
		case <-limit:
			return
		}
	}
}

func (m *machine) ending() bool { return m.off.begun.Load() }

// serveConsole gives a shell to whoever presses Enter at the console. Until
// then the console is for the log alone.
func (m *machine) serveConsole() {
	if m.console == nil || shell() == "" {
		return
	}
	go func() {
		key := make([]byte, 64)
		for {
			n, err := m.console.Read(key)
			if err != nil {
				return
			}
			if strings.ContainsAny(string(key[:n]), "\r\n") {
				m.try("start a shell", m.consoleShell())
			}
		}
	}()
}

func (m *machine) consoleShell() error {
	terminal, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer terminal.Close()
	path := shell()
	cmd := exec.Command(path)
	cmd.Args[0] = "-" + filepath.Base(path)
	cmd.Env, cmd.Dir = append(m.environment(), "TERM=vt100"), "/root"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := m.children.Start(cmd); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	_ = m.children.Wait(cmd) // how a person leaves a shell is their affair
	return nil
}
