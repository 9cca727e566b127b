package hyperkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

// ExitError is a Hyperkit that ended while it started.
type ExitError struct {
	How     string // how it ended
	Said    string // what it wrote
	Command string // what was run, quoted for a POSIX shell
}

func (e *ExitError) Error() string {
	if e.Said == "" {
		return "Hyperkit ended at once, with " + e.How + ", and said nothing"
	}
	return "Hyperkit ended at once, with " + e.How + ":\n  " + strings.ReplaceAll(e.Said, "\n", "\n  ")
}

// order is what a keeper is told, on its standard input.
type order struct {
	Machine drivers.Machine `json:"machine"`
	Program string          `json:"program"`
	Env     []string        `json:"env"`
}

// answer is what a keeper says, on its standard output, once the machine runs
// or cannot.
type answer struct {
	Failure string `json:"failure,omitempty"`
	Exit    string `json:"exit,omitempty"` // how Hyperkit ended, if it did
	Said    string `json:"said,omitempty"`
}

// Start starts a keeper on its own, in a session of its own and holding the
// machine's lock, and waits until it has started Hyperkit.
func (d *Driver) Start(ctx context.Context, m drivers.Machine) error {
	status, err := d.Status(ctx, m)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	switch status.State {
	case drivers.Running, drivers.Paused:
		return nil // and its keeper removes the seed
	case drivers.Unknown:
		return errors.New(status.Detail)
	case drivers.Absent:
		return fmt.Errorf("%s was not created", m.Address)
	case drivers.Stopped:
	}
	program, err := d.program()
	if err != nil {
		return err
	}
	if err := d.check(m); err != nil {
		return err
	}
	if err := d.lay(m); err != nil {
		return local.Full(err, m.Dir)
	}
	return d.plug(ctx, m, func() error { return d.spawn(ctx, program, m) })
}

// maxSocketPath is macOS's limit.
const maxSocketPath = 103

// check looks for all that can be known to be wrong before a process is made.
func (d *Driver) check(m drivers.Machine) error {
	if path := attachedPath(m); len(path) > maxSocketPath {
		return fmt.Errorf("the path %s is too long for a socket (%d bytes of at most %d); set LKUP_RUNTIME_DIR to a shorter directory", path, len(path), maxSocketPath)
	}
	if m.Boot.Kernel == "" && len(m.Boot.Disks) == 0 {
		return fmt.Errorf("%s has neither a kernel nor a disk to boot from", m.Address)
	}
	if len(m.Shares) > 0 {
		return fmt.Errorf("hyperkit has no shares; take out the share for %s, or write driver = \"qemu\"", m.Shares[0].Guest)
	}
	if most := maxDisks - max(0, len(m.NICs)-1); len(m.Boot.Disks)+len(m.Volumes) > most {
		return fmt.Errorf("hyperkit's machines have at most %d disks, beside their networks", most)
	}
	for what, paths := range map[string][]string{"kernel": {m.Boot.Kernel}, "initrd": slices.Concat(m.Boot.Initrds, m.Boot.Seed)} {
		for _, path := range paths {
			if path == "" {
				continue
			}
			f, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("the %s cannot be read: %w; its image must be fetched or built again", what, err)
			}
			_ = f.Close() // nothing was written
		}
	}
	if m.Boot.Kernel != "" && !isBzImage(m.Boot.Kernel) {
		return fmt.Errorf("the kernel %s is no bzImage, which is what Hyperkit boots; its image must be built again, or write driver = \"qemu\"", m.Boot.Kernel)
	}
	return local.PortsFree(m)
}

// isBzImage looks for the header documented in the kernel's
// Documentation/arch/x86/boot.rst. Hyperkit itself would only find out once its
// console is there.
func isBzImage(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	_, err = f.ReadAt(magic, 0x202)
	return err == nil && string(magic) == "HdrS"
}

// lay gives each file that Hyperkit is told of a plain name in the machine's
// directory, and takes away what an earlier run left.
func (d *Driver) lay(m drivers.Machine) error {
	links := map[string]string{runName: m.RunDir}
	if m.Boot.Kernel != "" {
		links[kernelName] = m.Boot.Kernel
	} else {
		path, err := d.firmware()
		if err != nil {
			return err
		}
		links[firmwareName] = path
	}
	switch initrds := m.Boot.Initrds; {
	case len(m.Boot.Seed) > 0:
		if err := join(seededPath(m), slices.Concat(initrds, m.Boot.Seed)); err != nil {
			return fmt.Errorf("join the initrds: %w", err)
		}
		links[initrdName] = seededPath(m)
	case len(initrds) == 1:
		links[initrdName] = initrds[0]
	case len(initrds) > 1:
		if err := join(joinedPath(m), initrds); err != nil {
			return fmt.Errorf("join the initrds: %w", err)
		}
		links[initrdName] = joinedPath(m)
	}
	for n, v := range m.Volumes {
		links[volumeName(n)] = v.Path
	}
	if err := local.Remove(pidPath(m), filepath.Join(m.Dir, ttyName), filepath.Join(m.Dir, ringName)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(pidPath(m)), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(m.RunDir, 0o700); err != nil {
		return err
	}
	for name, target := range links {
		path := filepath.Join(m.Dir, name)
		if err := local.Remove(path); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(logPath(m), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return log.Close()
}

func (d *Driver) spawn(ctx context.Context, program string, m drivers.Machine) error {
	if len(d.settings.Keeper) == 0 {
		return errors.New("hyperkit's machines need a keeper, and this lkup does not know its own program")
	}
	told, err := json.Marshal(order{Machine: m, Program: program, Env: d.settings.Env})
	if err != nil {
		return err
	}
	lock, err := local.Lock(lockPath(m))
	if err != nil {
		return err
	}
	defer lock.Close() // the keeper has its own
	said, err := os.OpenFile(saidPath(m), os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer said.Close()
	cmd := exec.Command(d.settings.Keeper[0], append(d.settings.Keeper[1:len(d.settings.Keeper):len(d.settings.Keeper)], m.Dir)...)
	cmd.Dir = m.Dir
	cmd.Env = append([]string{}, d.settings.Env...) // not nil, which would be all of ours
	cmd.ExtraFiles = []*os.File{lock}
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the keeper: %w", err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := io.Copy(input, bytes.NewReader(told))
		err = errors.Join(err, input.Close())
		var a answer
		if err == nil {
			err = json.NewDecoder(output).Decode(&a)
		}
		answered <- d.verdict(m, a, err)
		_ = cmd.Wait() // reaps the keeper, whenever it ends; else it ends with this process
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verdict is what a keeper's answer comes to; err is of who listened for it.
func (d *Driver) verdict(m drivers.Machine, a answer, err error) error {
	switch {
	case err != nil:
		said, _ := os.ReadFile(saidPath(m)) // whatever it says
		return fmt.Errorf("the keeper ended before the machine ran: %w\n%s", err, bytes.TrimSpace(said))
	case a.Exit != "":
		return &ExitError{How: a.Exit, Said: a.Said, Command: d.CommandLine(m)}
	case a.Failure != "":
		return errors.New(a.Failure)
	}
	return nil
}
