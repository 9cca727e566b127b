// Package lkuptest gives a Go test a stack of virtual machines of its own:
//
//	func TestShop(t *testing.T) {
//		stack := lkuptest.Up(t, "testdata/shop")
//		response, err := http.Get(stack.Output("url"))
//		...
//	}
//
// The stack is made from the stack files of a directory, and removed with its
// disks and volumes when the test ends. Several tests, also parallel ones, may
// use one directory: each has a stack of its own beside the one that lkup apply
// makes. Host ports should therefore be chosen by lkup: host = "auto".
//
// A test process that is killed leaves no stack behind for long: it held an OS
// lock, and the next command of lkup on this computer removes what stood under
// it.
//
// The package runs the program lkup, which is found in PATH, as a test with
// containers needs their engine: machines are built and run by that version of
// lkup, which the test's module need not depend on.
package lkuptest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/lease"
)

// Options say more about a stack than its directory does. The zero value is
// what Up takes.
type Options struct {
	// Program is lkup; by default what LKUPTEST_PROGRAM names, else lkup in PATH.
	Program string
	// Vars are values of the stack's variables. A text is given as it is,
	// everything else as JSON.
	Vars map[string]any
	// Profiles are those that are switched on.
	Profiles []string
	// Env is added to the environment of lkup, as NAME=VALUE.
	Env []string
}

// Stack is a stack that runs. Its methods end the test where something fails,
// so they belong to its goroutine.
type Stack struct {
	t       testing.TB
	options Options
	dir     string
	lease   *lease.Lease
	outputs map[string]any
}

// Up applies the stack of a directory, waits until all its machines are ready,
// and removes it when the test ends.
func Up(t testing.TB, dir string) *Stack {
	t.Helper()
	return Options{}.Up(t, dir)
}

// Up is the function Up, with options.
func (o Options) Up(t testing.TB, dir string) *Stack {
	t.Helper()
	s := &Stack{t: t, options: o.found(t), dir: dir}
	real, err := filepath.Abs(dir)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		t.Fatalf("lkuptest: %v", err)
	}
	if s.lease, err = lease.Take(paths(s.environ()), real); err != nil {
		t.Fatalf("lkuptest: %v", err)
	}
	t.Cleanup(s.down)
	apply := append([]string{"apply", "-y"}, o.flags(t)...)
	if _, said, err := s.run(apply...); err != nil {
		t.Fatalf("lkuptest: lkup apply in %s: %v\n%s", dir, err, said)
	}
	s.outputs = s.readOutputs()
	return s
}

// found settles which lkup it is.
func (o Options) found(t testing.TB) Options {
	t.Helper()
	if o.Program == "" {
		o.Program = os.Getenv("LKUPTEST_PROGRAM")
	}
	if o.Program == "" {
		path, err := exec.LookPath("lkup")
		if err != nil {
			t.Fatalf("lkuptest: there is no lkup in PATH; install it, or name it: LKUPTEST_PROGRAM=/path/to/lkup go test")
		}
		o.Program = path
	}
	return o
}

func (o Options) flags(t testing.TB) []string {
	t.Helper()
	var flags []string
	for name, value := range o.Vars {
		text, isText := value.(string)
		if !isText {
			content, err := json.Marshal(value)
			if err != nil {
				t.Fatalf("lkuptest: the variable %s: %v", name, err)
			}
			text = string(content)
		}
		flags = append(flags, "--var", name+"="+text)
	}
	for _, name := range o.Profiles {
		flags = append(flags, "--profile", name)
	}
	return flags
}

// paths is where lkup keeps things in an environment.
func paths(environ []string) layout.Layout {
	getenv := func(name string) string {
		for n := len(environ) - 1; n >= 0; n-- {
			if value, found := strings.CutPrefix(environ[n], name+"="); found {
				return value
			}
		}
		return ""
	}
	home, _ := os.UserHomeDir() // lkup would not find it either
	return layout.New(getenv, home, os.TempDir(), os.Getuid())
}

func (s *Stack) environ() []string {
	all := append(os.Environ(), s.options.Env...)
	if s.lease != nil {
		all = append(all, lease.Env+"="+s.lease.Name)
	}
	return all
}

// Lkup is a command of lkup about this stack, to be run: logs, cp, plan, apply
// after a change of the stack files. It ends with the test.
func (s *Stack) Lkup(args ...string) *exec.Cmd {
	return s.command(s.t.Context(), args...)
}

func (s *Stack) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.options.Program, args...)
	cmd.Dir, cmd.Env = s.dir, s.environ()
	// Asked rather than killed: it saves what it was at.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// run runs a command of lkup, and gives what it said beside its output.
func (s *Stack) run(args ...string) (out, said []byte, err error) {
	return output(s.Lkup(args...))
}

func output(cmd *exec.Cmd) (out, said []byte, err error) {
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err = cmd.Output()
	return out, errs.Bytes(), err
}

// Outputs are the outputs of the stack, as its apply left them. Numbers are
// float64, as encoding/json has them.
func (s *Stack) Outputs() map[string]any { return s.outputs }

// Output is one output: a text as it is, everything else as JSON. Sensitive
// ones are not hidden from a test.
func (s *Stack) Output(name string) string {
	s.t.Helper()
	value, found := s.outputs[name]
	if !found {
		s.t.Fatalf("lkuptest: the stack of %s has no output %q", s.dir, name)
	}
	if text, isText := value.(string); isText {
		return text
	}
	content, err := json.Marshal(value)
	if err != nil {
		s.t.Fatalf("lkuptest: the output %s: %v", name, err)
	}
	return string(content)
}

func (s *Stack) readOutputs() map[string]any {
	s.t.Helper()
	var listed struct {
		Outputs map[string]struct {
			Value     any  `json:"value"`
			Sensitive bool `json:"sensitive"`
		} `json:"outputs"`
	}
	s.readJSON(&listed, "output", "--json")
	all := map[string]any{}
	for name, o := range listed.Outputs {
		all[name] = o.Value
		if o.Sensitive {
			var value any
			s.readJSON(&value, "output", name, "--json")
			all[name] = value
		}
	}
	return all
}

func (s *Stack) readJSON(into any, args ...string) {
	s.t.Helper()
	out, said, err := s.run(args...)
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		s.t.Fatalf("lkuptest: lkup %s: %v\n%s", strings.Join(args, " "), err, said)
	}
}

// Address is where this computer reaches a TCP port of a machine, as HOST:PORT.
// The machine is named as lkup exec names it, and must have a port block for it.
func (s *Stack) Address(machine string, port int) string {
	s.t.Helper()
	var listed struct {
		Machines []struct {
			Address string `json:"address"`
			Name    string `json:"name"`
			Ports   []struct {
				Guest    int    `json:"guest"`
				Host     int    `json:"host"`
				Address  string `json:"address"`
				Protocol string `json:"protocol"`
			} `json:"ports"`
		} `json:"machines"`
	}
	s.readJSON(&listed, "ps", "--json")
	for _, m := range listed.Machines {
		if machine != m.Name && machine != m.Address && "vm."+machine != m.Address {
			continue
		}
		for _, p := range m.Ports {
			if p.Guest == port && p.Protocol == "tcp" {
				return net.JoinHostPort(reachable(p.Address), strconv.Itoa(p.Host))
			}
		}
		s.t.Fatalf("lkuptest: %s has no port block for TCP port %d", m.Address, port)
	}
	s.t.Fatalf("lkuptest: the stack of %s has no machine %q", s.dir, machine)
	return ""
}

func reachable(address string) string {
	if address == "0.0.0.0" || address == "::" {
		return "127.0.0.1"
	}
	return address
}

// Exec runs a command in a machine and gives what it printed. A command that
// fails ends the test; where it may, run it by Lkup("exec", ...).
func (s *Stack) Exec(machine string, command ...string) string {
	s.t.Helper()
	out, said, err := s.run(append([]string{"exec", machine, "--"}, command...)...)
	if err != nil {
		s.t.Fatalf("lkuptest: %s in %s: %v\n%s%s", strings.Join(command, " "), machine, err, out, said)
	}
	return string(out)
}

// consoleLines is how much of the machines' consoles a failed test shows.
const consoleLines = "40"

// down removes the stack. What it cannot remove, the next lkup tries to.
func (s *Stack) down() {
	ctx := context.Background() // the test's own is over
	if s.t.Failed() {
		if out, _, err := output(s.command(ctx, "logs", "-n", consoleLines)); err == nil && len(out) > 0 {
			s.t.Logf("the last lines of the consoles:\n%s", out)
		}
	}
	_, said, err := output(s.command(ctx, "down", "-y", "--volumes"))
	if err != nil && !s.nothingApplied() {
		s.t.Errorf("lkuptest: lkup down in %s: %v\n%s", s.dir, err, said)
		_ = s.lease.Release()
		return
	}
	if err := errors.Join(s.removeFiles(), s.lease.End()); err != nil {
		s.t.Errorf("lkuptest: remove what is left of %s: %v", s.lease.Name, err)
	}
}

// nothingApplied reports that the stack never came to be, as when its files have
// mistakes.
func (s *Stack) nothingApplied() bool {
	all, err := s.lease.Stacks(paths(s.environ()))
	for _, stack := range all {
		if _, missing := os.Stat(stack.StateFile()); !errors.Is(missing, os.ErrNotExist) {
			return false
		}
	}
	return err == nil
}

func (s *Stack) removeFiles() error {
	all, err := s.lease.Stacks(paths(s.environ()))
	for _, stack := range all {
		err = errors.Join(err, os.RemoveAll(stack.Dir), os.RemoveAll(stack.Run))
	}
	if err != nil {
		return fmt.Errorf("remove the stack's files: %w", err)
	}
	return nil
}
