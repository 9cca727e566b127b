//go:build linux

// Command lkup-init is process 1 of guests whose template names builtin:init.
// It makes the machine usable - file systems, modules, network, clock, shares -
// serves SSH, runs the image's onboot containers and its services with runc,
// as LinuxKit lays them out, and powers off cleanly.
//
// It is started by the kernel from the initramfs, so it may rely on nothing but
// its own file, and must never return. Where the root is a disk that cannot be
// written, it lays memory over it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "lkup-init is process 1 of a guest; it does nothing here")
		os.Exit(1)
	}
	m := &machine{children: newChildren()}
	m.boot()
	select {} // the goroutines do the rest, until the machine is off
}

// machine is the guest as its init sees it.
type machine struct {
	config   guest.Config
	console  *os.File
	children *children
	modules  *modules
	services []*service
	status   int // of a task: the first of those that is not 0
	off      offSwitch
}

// boot goes through the stages. A step that fails is told on the console, and
// the next is tried: a guest that can be reached and looked at is worth more
// than one that stopped.
func (m *machine) boot() {
	m.startFromDisk()
	m.try("make the root writable", makeWritable())
	m.try("make a root that containers can leave", makeRoot())
	m.try("mount the kernel's file systems", mountKernel())
	m.console = openConsole()
	m.say(guest.StageInit)
	m.config = m.readConfig()
	m.children.reap()
	m.watchSignals()
	m.modules = newModules()

	m.setHostname()
	m.try("name the accounts", writeAccounts())
	m.setClock()
	m.modules.load("virtio_pci", "virtio_mmio")
	m.modules.loadForDevices(urgent)
	m.askForAddresses()
	m.try("set up the network", m.setNetwork())
	m.say(guest.StageNetwork)
	m.serveSSH()
	m.say(guest.StageSSH)

	m.modules.load("button", "gpio_keys", "evdev")
	m.watchPowerButton()
	m.modules.loadForDevices(everything)
	m.mountAll()
	m.mountVolumes()
	m.runOnboot()
	m.startServices()
	m.serveConsole()
	m.say(guest.StageUp)
	if m.config.Task {
		m.finishTask()
	}
}

// say announces a stage to the host.
func (m *machine) say(s guest.Stage) { m.write(guest.Marker(s)) }

// log writes a line for people, with its time, as `lkup logs` reads it.
func (m *machine) log(format string, args ...any) {
	m.write(time.Now().UTC().Format(time.RFC3339Nano) + " lkup-init: " + fmt.Sprintf(format, args...))
}

// write puts one line on the console.
func (m *machine) write(line string) {
	if m.console != nil {
		// In one write, so that lines from several goroutines do not mix; the
		// terminal's own translation of \n is off.
		_, _ = m.console.WriteString(line + "\r\n")
	}
}

func (m *machine) try(what string, err error) {
	if err != nil {
		m.log("cannot %s: %v", what, err)
	}
}

// readConfig reads what the host gave. Without it the guest comes up with
// defaults, and without SSH, for there is no key.
func (m *machine) readConfig() guest.Config {
	content, err := os.ReadFile(guest.ConfigPath)
	if errors.Is(err, fs.ErrNotExist) {
		return guest.Config{}
	}
	var c guest.Config
	if err == nil {
		err = json.Unmarshal(content, &c)
	}
	if err == nil && c.FormatVersion > guest.FormatVersion {
		err = fmt.Errorf("they are of format %d, and this init knows %d: rebuild the image", c.FormatVersion, guest.FormatVersion)
	}
	m.try("read the settings", err)
	return c
}

// openConsole opens the console that the kernel chose.
func openConsole() *os.File {
	console, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	return console
}

func (m *machine) setHostname() {
	name := m.config.Hostname
	if name == "" {
		name = "lkup"
	}
	m.try("set the hostname", unix.Sethostname([]byte(name)))
	m.try("write /etc/hostname", writeFile("/etc/hostname", name+"\n"))
}

// writeAccounts names root, where the image does not, so that programs can
// show who they run as.
func writeAccounts() error {
	for path, content := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
		"/etc/group":  "root:x:0:\n",
	} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := writeFile(path, content); err != nil {
			return err
		}
	}
	return nil
}

// setClock sets the clock where the kernel found none to read: then it counts
// from 1970, and certificates and logs are wrong.
func (m *machine) setClock() {
	given := time.Unix(m.config.Time, 0)
	if m.config.Time == 0 || time.Now().After(given.Add(-24*time.Hour)) {
		return
	}
	now := unix.NsecToTimeval(given.UnixNano())
	m.try("set the clock", unix.Settimeofday(&now))
}

func writeFile(path, content string) error {
	if err := os.MkdirAll(parent(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
