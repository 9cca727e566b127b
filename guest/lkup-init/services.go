//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
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
	stop func()        // asks it to end; does not wait
	over chan struct{} // closed when it has ended
	// status is its exit status, once it is over.
	status int
}

// runOnboot runs the onboot containers one after another. As with LinuxKit, one
// that fails is told, and the next is run.
func (m *machine) runOnboot() { m.runInTurn(onboot) }

func (m *machine) runOnshutdown() { m.runInTurn(onshutdown) }

func (m *machine) runInTurn(dir string) {
	for _, name := range bundles(dir) {
		// A folder is NNN-name; the number only orders.
		_, short, _ := strings.Cut(name, "-")
		bundle := filepath.Join(dir, name)
		s, err := m.start(bundle, strings.TrimPrefix(dir, "/containers/")+"-"+name, short)
		if err != nil {
			m.log("%s: %v", short, err)
			m.noteStatus(cannotRun)
			continue
		}
		<-s.over
		m.noteStatus(s.status)
		if r, err := readRuntime(bundle); err == nil {
			r.cleanUp(bundle)
		}
	}
}

func (m *machine) startServices() {
	for _, name := range bundles(services) {
		s, err := m.start(filepath.Join(services, name), name, name)
		if err != nil {
			m.fail(name, err)
			m.noteStatus(cannotRun)
			continue
		}
		m.services = append(m.services, s)
	}
}

// fail tells the host that a service does not run and never will.
func (m *machine) fail(name string, err error) {
	m.write(guest.Failure(name, err.Error()))
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
	r, err := readRuntime(bundle)
	if err != nil {
		return nil, err
	}
	if err := m.prepare(bundle, r); err != nil {
		return nil, err
	}
	path, err := findRunc()
	if err != nil {
		return nil, err
	}
	out, err := m.newOutput(name)
	if err != nil {
		return nil, err
	}
	c := container{runc: path, bundle: bundle, id: id, name: name, output: out}
	if r.touchesProcess() {
		return m.createAndStart(c, r)
	}
	return m.run(c)
}

// container is a bundle on its way to run.
type container struct {
	runc, bundle, id, name string
	output                 *output
}

// command is a command line of runc. What it starts inherits its output.
func (c container) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.runc, args...)
	cmd.Env = []string{"PATH=" + searchPath}
	cmd.Stdout, cmd.Stderr = c.output.write, c.output.write
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	return cmd
}

// pidFile is where runc leaves the number of a container's first process,
// once it runs.
func (c container) pidFile() string { return "/run/" + c.id + ".pid" }

// run has one runc make the container, start it and stay until it ends: that
// is the fastest.
func (m *machine) run(c container) (*service, error) {
	cmd := c.command("run", "--bundle", c.bundle, "--pid-file", c.pidFile(), c.id)
	err := m.children.Start(cmd)
	c.output.closeWrite() // the child has its own
	if err != nil {
		return nil, err
	}
	s := &service{name: c.name, over: make(chan struct{}), stop: func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // runc passes it on
		killDeaf(childrenOf(cmd.Process.Pid))
	}}
	go m.follow(s, c, func() error { return m.children.Wait(cmd) })
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

// follow awaits the end of a container, and tells of a bad one.
func (m *machine) follow(s *service, c container, wait func() error) {
	err := wait()
	s.status = exitStatus(err)
	if err != nil && !m.ending() {
		m.tellEnd(c, err)
	}
	_ = os.Remove(c.pidFile())
	close(s.over)
}

// tellEnd tells apart a service that ended badly and one that never ran.
func (m *machine) tellEnd(c container, err error) {
	_, ran := os.Stat(c.pidFile())
	if ran != nil && filepath.Dir(c.bundle) == services {
		m.fail(c.name, c.output.reason(err))
		return
	}
	m.log("%s: %v", c.name, err)
}

// stopServices asks the services to end, together, and kills those that do not.
func (m *machine) stopServices() {
	m.off.begun.Store(true)
	for _, s := range m.services {
		s.stop()
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
