package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/term"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/fake"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/porttest"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources/sourcetest"
)

var update = flag.Bool("update", false, "rewrite the scripts' golden files")

// TestMain makes this test binary the lkup that scripts run, with the fake
// driver besides the real ones.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"lkup": func() { os.Exit(run(os.Args[1:], scriptHost())) },
	})
}

func scriptHost() Host {
	program, _ := os.Executable()
	return Host{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv:  os.Getenv,
		Environ: os.Environ(),
		Home:    os.Getenv("HOME"),
		TempDir: os.TempDir(),
		UID:     os.Getuid(),
		Arch:    runtime.GOARCH,
		Now:     time.Now,
		Program: program,
		Size:    sizeOfScript,
		TTY: TTY{
			In:  term.IsTerminal(int(os.Stdin.Fd())),
			Out: term.IsTerminal(int(os.Stdout.Fd())),
			Err: term.IsTerminal(int(os.Stderr.Fd())),
		},
		// What "auto" is, a script may say.
		AutoDriver: func() string { return cmp.Or(os.Getenv("LKUP_TEST_AUTO"), "qemu") },
		MoreDrivers: func(l layout.Layout) map[string]drivers.Driver {
			return map[string]drivers.Driver{"fake": fake.New(filepath.Join(l.Runtime, "fake"))}
		},
	}
}

// sizeOfScript is the host's size as the script says it, in LKUP_TEST_HOST: a
// number of processors and one of MiB.
func sizeOfScript() planner.Host {
	var h planner.Host
	_, _ = fmt.Sscan(os.Getenv("LKUP_TEST_HOST"), &h.CPUs, &h.Memory) // no limits without it
	return h
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Cmds: withTerminals(map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status":   status,
			"until":    until,
			"freeport": freePort,
			"serve":    serve(t),
			"release":  release(t),
			"replace":  replaceText,
			"write":    writeVolume,
			"holds":    volumeHolds,
		}),
		Setup: setUp,
	})
}

// serve VARIABLE FILE is a web server that has a file, and its URL.
func serve(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		cdn := sourcetest.NewCDN(t, false)
		ts.Defer(cdn.Close)
		ts.Setenv(args[0], cdn.Put("/"+args[1], []byte(ts.ReadFile(args[1]))))
	}
}

// release TAG FILE... is a GitHub whose repository lkup/images has a release
// with these files, and the settings to find it.
func release(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		server := sourcetest.NewGitHub(t)
		assets := map[string][]byte{}
		for _, file := range args[1:] {
			assets[path.Base(file)] = []byte(ts.ReadFile(file))
		}
		server.Release(args[0], assets)
		server.Hide("hunter2")
		ts.Setenv("GITHUB_API_URL", server.URL)
	}
}

// portsKey is where a script finds the ports that are its own.
type portsKey struct{}

// setUp gives a script directories and ports of its own.
func setUp(env *testscript.Env) error {
	run, err := os.MkdirTemp("", "lkup") // socket paths are short
	if err != nil {
		return err
	}
	env.Defer(func() { os.RemoveAll(run) })
	env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
	env.Setenv("LKUP_STATE_DIR", filepath.Join(env.WorkDir, ".state"))
	env.Setenv("LKUP_CACHE_DIR", filepath.Join(env.WorkDir, ".cache"))
	env.Setenv("LKUP_RUNTIME_DIR", run)
	ports, err := porttest.Reserve()
	if err != nil {
		return err
	}
	env.Defer(func() { _ = ports.Release() })
	env.Values[portsKey{}] = ports
	env.Setenv("LKUP_AUTO_PORTS", ports.Auto())
	env.Values[terminalsKey{}] = terminals{}
	// The race detector would have each lkup sleep for a second at its end.
	env.Setenv("GORACE", "atexit_sleep_ms=10")
	// An image for the fake driver, which boots nothing.
	return os.WriteFile(filepath.Join(env.WorkDir, "disk.raw"), make([]byte, 4096), 0o600)
}

// until COMMAND... repeats a command until it succeeds, within bounds.
func until(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, strings.Join(args, " "), func() bool { return ts.Exec(args[0], args[1:]...) == nil })
}

// status N COMMAND... demands the exit status N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: status N COMMAND...")
	}
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
