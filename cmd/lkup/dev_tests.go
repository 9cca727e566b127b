package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

// mostTests is how many tests run at once.
const mostTests = 4

type devTestCmd struct {
	devUpFlags
	DryRun    bool     `name:"dry-run" help:"Only show what was found out, and why."`
	JSON      bool     `name:"json" help:"With --dry-run: print JSON."`
	Report    string   `name:"report" placeholder:"DIR" help:"Write JUnit or JSON reports into this directory, of tools that have them."`
	Artifacts string   `name:"artifacts" placeholder:"DIR" default:"artifacts" help:"Where artifacts are copied to, each test's into a directory of its name."`
	Names     []string `arg:"" optional:"" name:"test" help:"Tests; all of them by default."`
}

// oneTest is a test that is to be run, and where.
type oneTest struct {
	devenv.Tester
	dir       string // the guest's
	artifacts []string
}

// Run runs the tests side by side. Its exit status is theirs, the greatest.
func (c *devTestCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	tests, err := c.tests(w)
	if err != nil {
		return err
	}
	if c.DryRun {
		var all []devenv.Tester
		for _, t := range tests {
			all = append(all, t.Tester)
		}
		if c.JSON {
			return view.TestersJSON(call.Out, all)
		}
		return view.Testers(call.Out, call.outStyle(), all)
	}
	_, conn, err := c.enter(call, w)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	return c.all(call, w, conn, tests)
}

// tests are those of the devenv block, or else what is found out of the
// directory that one stands in, or of the project.
func (c *devTestCmd) tests(w *workplace) ([]oneTest, error) {
	var all []oneTest
	for _, t := range w.env.Tests {
		one := oneTest{Tester: devenv.Tester{Name: t.Name, Command: t.Command, Why: "test block of " + string(w.env.Address)}, dir: spec.DevenvProject, artifacts: t.Artifacts}
		if len(t.Command) == 0 {
			found, dir, err := c.found(w)
			if err != nil {
				return nil, err
			}
			one.Tester, one.dir = found[0], dir
			one.Name = t.Name
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		found, dir, err := c.found(w)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			all = append(all, oneTest{Tester: t, dir: dir})
		}
	}
	return c.named(all)
}

func (c *devTestCmd) named(all []oneTest) ([]oneTest, error) {
	if len(c.Names) == 0 {
		return all, nil
	}
	var chosen []oneTest
	for _, name := range c.Names {
		at := slices.IndexFunc(all, func(t oneTest) bool { return t.Name == name })
		if at < 0 {
			var names []string
			for _, t := range all {
				names = append(names, t.Name)
			}
			return nil, fmt.Errorf("there is no test %q; there is %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}

func (c *devTestCmd) found(w *workplace) (all []devenv.Tester, dir string, err error) {
	dir, err = w.look(func(project fs.FS) bool {
		all = devenv.Testers(project)
		if len(w.env.Tests) == 0 {
			for _, name := range c.Names { // make test, though go test was found
				if t, there := devenv.TesterNamed(project, name); there && !slices.ContainsFunc(all, func(o devenv.Tester) bool { return o.Name == name }) {
					all = append(all, t)
				}
			}
		}
		return len(all) > 0
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("nothing in %s says how it is tested; write it into the devenv block: test { command = [\"make\", \"check\"] }", w.host)
	}
	return all, dir, err
}

// all runs the tests, and says how each ended.
func (c *devTestCmd) all(call *call, w *workplace, conn *ssh.Conn, tests []oneTest) error {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = t.Name
	}
	outs, errs := streams(call, names)
	statuses, failures, took := make([]int, len(tests)), make([]error, len(tests)), make([]time.Duration, len(tests))
	var group errgroup.Group
	group.SetLimit(mostTests)
	for i, t := range tests {
		group.Go(func() error {
			begun := call.Now()
			statuses[i], failures[i] = c.one(call, w, conn, t, outs[i], errs[i])
			took[i] = call.Now().Sub(begun)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	for i := range tests {
		failures[i] = errors.Join(failures[i], flush(outs[i]), flush(errs[i]))
	}
	for i, t := range tests {
		how := "passed"
		switch {
		case statuses[i] != 0:
			how = fmt.Sprintf("failed with exit status %d", statuses[i])
		case failures[i] != nil:
			how = "passed, but not all of it worked"
		}
		fmt.Fprintf(call.Err, "%s: %s (%.1fs)\n", view.Clean(t.Name), how, took[i].Seconds())
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if status := slices.Max(statuses); status != 0 {
		return exitError(status)
	}
	return nil
}

// streams are where each test writes: one test as it does, several behind
// their names.
func streams(call *call, names []string) (outs, errs []io.Writer) {
	if len(names) == 1 {
		return []io.Writer{call.Out}, []io.Writer{call.Err}
	}
	for _, w := range view.Prefixed(call.Out, call.outStyle(), names) {
		outs = append(outs, w)
	}
	for _, w := range view.Prefixed(call.Err, call.errStyle(), names) {
		errs = append(errs, w)
	}
	return outs, errs
}

func flush(w io.Writer) error {
	if p, prefixed := w.(*view.Prefixer); prefixed {
		return p.Flush()
	}
	return nil
}

// one runs a test, and brings back what it left.
func (c *devTestCmd) one(call *call, w *workplace, conn *ssh.Conn, t oneTest, out, errOut io.Writer) (int, error) {
	args, report := t.Command, path.Join("/tmp", "lkup-report-"+identifierOf(t.Name))
	command := ssh.Command{Stdout: out, Stderr: errOut}
	end := func() error { return nil }
	if c.Report != "" && t.Report.Format != "" {
		args = slices.Clone(args)
		for _, arg := range t.Report.Args {
			args = append(args, strings.ReplaceAll(arg, devenv.ReportPath, report))
		}
		if t.Report.Stdout {
			w, err := c.readable(t, out)
			if err != nil {
				return 0, err
			}
			command.Stdout, end = w, w.end
		} else if _, _, err := conn.Run(call.ctx, []string{"rm", "-f", report}); err != nil { // an earlier test's
			return 0, err
		}
	}
	command.Args = devenv.In(t.dir, args)
	status, err := interruptible(call, conn, command)
	if err := errors.Join(err, end()); err != nil {
		return status, fmt.Errorf("test %s: %w", t.Name, err)
	}
	w.tellLacked(call, conn, t.dir, t.Command, status, errOut)
	return status, c.bringBack(call, conn, t, report, status)
}

// bringBack copies a report and artifacts here.
func (c *devTestCmd) bringBack(call *call, conn *ssh.Conn, t oneTest, report string, status int) error {
	ctx := context.WithoutCancel(call.ctx)
	if c.Report != "" && t.Report.Format != "" && !t.Report.Stdout {
		err := pull(ctx, conn, report, c.reportFile(t), c.Report)
		if err != nil && !(status != 0 && errors.Is(err, fs.ErrNotExist)) { // it may have failed before there was one
			return fmt.Errorf("copy the report of %s: %w", t.Name, err)
		}
	}
	for _, p := range t.artifacts {
		from := p
		if !path.IsAbs(p) {
			from = path.Join(spec.DevenvProject, p)
		}
		to := filepath.Join(c.Artifacts, identifierOf(t.Name))
		if err := pull(ctx, conn, from, to, to); err != nil {
			return fmt.Errorf("copy an artifact of %s: %w", t.Name, err)
		}
	}
	return nil
}

// pull copies a file or a directory of the guest to a name here, or into a
// directory. dir is made.
func pull(ctx context.Context, conn *ssh.Conn, from, to, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	copier, err := conn.Copier(ctx)
	if err != nil {
		return err
	}
	defer copier.Close()
	_, err = copier.Pull(from, to)
	return err
}

func (c *devTestCmd) reportFile(t oneTest) string {
	return filepath.Join(c.Report, identifierOf(t.Name)+map[string]string{"junit": ".xml", "json": ".json"}[t.Report.Format])
}

// identifierOf is a test's name as a file's.
func identifierOf(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, name)
}

// readable keeps what go test -json writes, and shows people what it says.
func (c *devTestCmd) readable(t oneTest, out io.Writer) (*goReport, error) {
	if err := os.MkdirAll(c.Report, 0o777); err != nil {
		return nil, err
	}
	f, err := os.Create(c.reportFile(t))
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	g := &goReport{PipeWriter: w, done: make(chan error, 1)}
	go func() {
		err := showOutput(io.TeeReader(r, f), out)
		_, copyErr := io.Copy(f, r) // what is left after a line that is too long
		g.done <- errors.Join(err, copyErr, f.Close())
	}()
	return g, nil
}

// goReport takes what go test -json writes.
type goReport struct {
	*io.PipeWriter
	done chan error
}

func (g *goReport) end() error {
	_ = g.Close()
	return <-g.done
}

// longestEvent bounds a line of go test -json.
const longestEvent = 1 << 20

// showOutput writes what the events of go test -json say. Other lines stay as
// they are.
func showOutput(events io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, longestEvent)
	for lines.Scan() {
		var event struct{ Action, Output string }
		text := lines.Text() + "\n"
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Action != "" {
			text = event.Output
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
	}
	return lines.Err()
}
