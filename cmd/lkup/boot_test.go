package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lkup/lkup/internal/porttest"
	"github.com/lkup/lkup/spec"
)

// patience bounds each wait for something outside of this process. It ends only
// what hangs: a boot takes seconds, and a minute beside three others on a busy host.
const patience = 5 * time.Minute

// TestBoot runs the scripts that boot real machines. What they build is kept
// between runs, by digest.
func TestBoot(t *testing.T) {
	cache := os.Getenv("LKUP_TEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "lkup-test")
	}
	examples, err := filepath.Abs(filepath.Join("..", "..", "examples"))
	if err != nil {
		t.Fatal(err)
	}
	plain := plainLkup(t)
	newBootQueue(t, filepath.Join("testdata", "boot")).run(t, testscript.Params{
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("there is no condition %s", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: withTerminals(map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status":      status,
			"fetch":       fetch,
			"answers":     answers,
			"pids":        pids,
			"kill9":       kill9,
			"replace":     replaceText,
			"hold":        hold,
			"freeport":    freePort,
			"started":     started,
			"machines":    machines,
			"waitlocked":  waitLocked,
			"stopped":     stopped,
			"component":   packComponent,
			"until":       until,
			"registry":    startRegistry,
			"serve":       serve(t),
			"release":     release(t),
			"push":        pushAnother,
			"save":        saveImage,
			"runs":        runs,
			"supervised":  supervisedBy,
			"kill9super":  kill9Supervisor,
			"now":         isNow,
			"kill9in":     killedIn,
			"tolerant":    tolerant,
			"fsize":       limitFiles,
			"fsck":        checkVolume,
			"switches":    switchesRun,
			"kill9switch": kill9Switch,
			"says":        says,
			"program":     program,
			"resolver":    resolver,
			"outside":     outside,
			"api":         serveAPI,
			"npm":         npmRegistryOf,
			"sshagent":    sshAgent,
			"datagrams":   datagrams(),
			"fileservers": fileServersRun,
			"debian":      debianDisk,
			"virtiofsd":   virtiofsdRun,
			"dockercli":   dockerClientOf(cache),
			"dropbearkey": dropbearKey,
		}),
		Setup: func(env *testscript.Env) error {
			if err := setUp(env); err != nil {
				return err
			}
			env.Setenv("LKUP_CACHE_DIR", filepath.Join(cache, "boot"))
			env.Setenv("EXAMPLES", examples)
			self, err := exec.LookPath("lkup")
			if err != nil {
				return err
			}
			if dir := lkupFor(strings.TrimPrefix(filepath.Base(env.WorkDir), "script-"), plain); dir != "" {
				self = filepath.Join(dir, "lkup")
				env.Setenv("PATH", dir+string(os.PathListSeparator)+env.Getenv("PATH"))
			}
			env.Setenv("LKUP", self)
			env.Defer(func() { sweep(t, env.WorkDir) })
			return nil
		},
	})
}

// row is what the scripts read of lkup ps --json.
type row struct {
	Address spec.Address `json:"address"`
	PID     int          `json:"pid"`
	Status  string       `json:"status"`
	Ready   bool         `json:"ready"`
}

func rows(ts *testscript.TestScript) []row {
	ts.Check(ts.Exec("lkup", "ps", "--json"))
	var all struct {
		Machines []row `json:"machines"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &all))
	return all.Machines
}

func rowOf(ts *testscript.TestScript, address string) row {
	for _, r := range rows(ts) {
		if string(r.Address) == address {
			return r
		}
	}
	ts.Fatalf("lkup ps has no %s", address)
	return row{}
}

// fetch OUTPUT PATTERN gets the URL of an output, and demands that the answer
// matches.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("lkup", "output", args[0]))
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Get(strings.TrimSpace(ts.ReadFile("stdout")))
	if neg {
		if err == nil {
			response.Body.Close()
			ts.Fatalf("%s answers", args[0])
		}
		return
	}
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	if !regexp.MustCompile(args[1]).Match(body) {
		ts.Fatalf("%s answers %q, which does not match %s", args[0], body, args[1])
	}
}

// answers URL PATTERN waits until a URL answers with something that matches;
// with !, it demands that nothing answers.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	client := http.Client{Timeout: 5 * time.Second}
	if neg {
		if response, err := client.Get(args[0]); err == nil {
			response.Body.Close()
			ts.Fatalf("%s answers", args[0])
		}
		return
	}
	pattern := regexp.MustCompile("(?m)" + args[1])
	eventually(ts, args[0]+" answers", func() bool {
		response, err := client.Get(args[0])
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return err == nil && pattern.Match(body)
	})
}

// pids FILE ADDRESS... writes which process each machine is, to be compared.
func pids(ts *testscript.TestScript, _ bool, args []string) {
	var b strings.Builder
	for _, address := range args[1:] {
		fmt.Fprintf(&b, "%s %d\n", address, rowOf(ts, address).PID)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// kill9 ADDRESS kills a machine's process behind lkup's back, and waits until
// lkup sees that it is gone, or that another one runs in its place.
func kill9(ts *testscript.TestScript, _ bool, args []string) {
	pid := rowOf(ts, args[0]).PID
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	eventually(ts, "the process is gone", func() bool { return rowOf(ts, args[0]).PID != pid })
}

// stopped ADDRESS waits until a machine's process is gone.
func stopped(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, "the process is gone", func() bool { return rowOf(ts, args[0]).Status == "stopped" })
}

// runs ADDRESS waits until a machine is seen to be ready again.
func runs(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, args[0]+" runs", func() bool { r := rowOf(ts, args[0]); return r.Status == "running" && r.Ready })
}

// supervisedBy N waits until so many processes of lkup's own watch the
// script's machines.
func supervisedBy(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	eventually(ts, args[0]+" supervisors", func() bool { return len(supervisors(ts.Getenv("WORK"))) == want })
}

// kill9super kills the script's supervisor.
func kill9Supervisor(ts *testscript.TestScript, _ bool, _ []string) {
	found := supervisors(ts.Getenv("WORK"))
	if len(found) != 1 {
		ts.Fatalf("supervisors: %v, want one", found)
	}
	ts.Check(syscall.Kill(found[0], syscall.SIGKILL))
	eventually(ts, "it is gone", func() bool { return len(supervisors(ts.Getenv("WORK"))) == 0 })
}

// replace FILE OLD NEW edits a file.
func replaceText(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.ReadFile(args[0])
	after := strings.Replace(before, args[1], args[2], 1)
	if before == after {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(after), 0o600))
}

// freeport VARIABLE gives a port that nobody else has.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	port, err := ts.Value(portsKey{}).(*porttest.Block).Next()
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(port))
}

// hold VARIABLE listens on a port for the rest of the script.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	freePort(ts, neg, args)
	listener, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv(args[0]))
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
}

// started waits until some machine of the script has a process.
func started(ts *testscript.TestScript, _ bool, _ []string) {
	eventually(ts, "a machine runs", func() bool { return len(processes(ts.Getenv("WORK"))) > 0 })
}

// machines N demands how many machines' processes there are, asked of the
// operating system and not of lkup.
func machines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if found := processes(ts.Getenv("WORK")); len(found) != want {
		ts.Fatalf("%d machines' processes run: %v, want %d", len(found), found, want)
	}
}

func eventually(ts *testscript.TestScript, what string, holds func() bool) {
	for limit := time.Now().Add(patience); !holds(); {
		if time.Now().After(limit) {
			ts.Fatalf("not within %s: %s", patience, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// processes finds the QEMUs whose command line names a directory.
func processes(dir string) []int {
	return processesThat(func(words []string, _ string) bool {
		return strings.HasPrefix(filepath.Base(words[0]), "qemu-system") && strings.Contains(strings.Join(words, " "), dir)
	})
}

// supervisors finds lkup's own processes that watch machines of a directory.
func supervisors(dir string) []int {
	return processesThat(func(words []string, environ string) bool {
		return len(words) > 1 && words[1] == "supervise" && strings.Contains(environ, dir)
	})
}

// processesThat finds processes by their command line and their environment.
func processesThat(match func(words []string, environ string) bool) []int {
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	var found []int
	for _, path := range entries {
		words, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "environ")) // none of a process that is gone
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && match(strings.Split(string(words), "\x00"), string(environ)) {
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found
}

// sweep ends what a failed script left running, and fails a passing one that
// left something.
func sweep(t *testing.T, dir string) {
	for _, pid := range slices.Concat(supervisors(dir), switchesOf(dir), processes(dir)) {
		t.Errorf("a script left process %d running", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// waitLocked waits until some lkup holds the lock of the script's only stack.
func waitLocked(ts *testscript.TestScript, _ bool, _ []string) {
	locks, err := filepath.Glob(filepath.Join(ts.Getenv("LKUP_STATE_DIR"), "stacks", "*", "lock"))
	ts.Check(err)
	if len(locks) != 1 {
		ts.Fatalf("want one stack, have %v", locks)
	}
	eventually(ts, "the stack is locked", func() bool {
		f, err := os.Open(locks[0])
		ts.Check(err)
		defer f.Close()
		return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
	})
}
