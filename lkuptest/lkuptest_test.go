package lkuptest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/lkuptest"
)

// innerEnv makes this binary a test that is to be killed, or to fail.
const innerEnv = "LKUPTEST_RUNS"

// TestMain builds the lkup of this tree, and gives it places of its own.
func TestMain(m *testing.M) {
	if os.Getenv(innerEnv) != "" {
		os.Exit(m.Run())
	}
	os.Exit(inOwnPlaces(m))
}

func inOwnPlaces(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lkuptest") // short: sockets lie below it
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "lkup")
	// As make build does, so that what it compiled is used.
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, "../cmd/lkup")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lkup: %v\n%s", err, out)
		return 1
	}
	cache := os.Getenv("LKUP_TEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		cache = filepath.Join(user, "lkup-test")
	}
	for name, value := range map[string]string{
		"LKUPTEST_PROGRAM": program,
		"LKUP_STATE_DIR":   filepath.Join(dir, "state"),
		"LKUP_RUNTIME_DIR": filepath.Join(dir, "run"),
		"LKUP_CACHE_DIR":   filepath.Join(cache, "boot"),
	} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// TestFourStacksOfOneDirectorySideBySide: each test has its own machine, ports,
// variables and outputs, and nothing is left.
func TestFourStacksOfOneDirectorySideBySide(t *testing.T) {
	t.Run("stacks", func(t *testing.T) {
		for _, name := range []string{"one", "two", "three", "four"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				stack := lkuptest.Options{Vars: map[string]any{"greeting": name}}.Up(t, "testdata/web")
				if got := fetch(t, stack.Output("url")); got != name+"\n" {
					t.Errorf("its page says %q", got)
				}
				if got := fetch(t, "http://"+stack.Address("web", 80)+"/"); got != name+"\n" {
					t.Errorf("at its address it says %q", got)
				}
				if got := stack.Outputs()["words"]; fmt.Sprint(got) != "[a b]" {
					t.Errorf("the output words is %v", got)
				}
				if got := stack.Output("hidden"); got != "very "+name {
					t.Errorf("the sensitive output is %q", got)
				}
				if got := stack.Exec("web", "cat", "/srv/shared"); got != "of the project\n" {
					t.Errorf("the share says %q", got)
				}
				if err := stack.Lkup("exec", "web", "--", "false").Run(); err == nil {
					t.Error("a command that fails succeeds")
				}
			})
		}
	})
	if left := stacks(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	nothingOnDisk(t)
}

// TestAKilledTestLeavesNothingAfterTheNextCommand: the lease ends with the
// process, and any command of lkup sees that.
func TestAKilledTestLeavesNothingAfterTheNextCommand(t *testing.T) {
	test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHolds$", "-test.v")
	test.Env = append(os.Environ(), innerEnv+"=1")
	var said bytes.Buffer
	test.Stdout, test.Stderr = &said, &said
	if err := test.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = test.Process.Kill(); _ = test.Wait() }()
	limit := time.After(2 * time.Minute)
	for up := ""; up != "1 of 1"; {
		select {
		case <-limit:
			t.Fatalf("its stack does not come up:\n%s", said.String())
		case <-time.After(50 * time.Millisecond):
		}
		for _, s := range stacks(t) {
			up = fmt.Sprintf("%d of %d", s.Running, s.Machines)
		}
	}
	pids := qemus(t)
	if len(pids) != 1 {
		t.Fatalf("machines: %v", pids)
	}
	if err := test.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = test.Wait()
	out, err := lkup("version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Removed run-") {
		t.Errorf("the next command: %v\n%s", err, out)
	}
	if left := qemus(t); len(left) != 0 {
		t.Errorf("still running: %v", left)
	}
	if left := stacks(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	nothingOnDisk(t)
}

// TestHolds is the test that is killed; it is no test otherwise.
func TestHolds(t *testing.T) {
	if os.Getenv(innerEnv) == "" {
		return
	}
	lkuptest.Up(t, "testdata/web")
	time.Sleep(time.Hour) // it is killed
}

// TestAStackThatDoesNotComeUpFailsItsTest runs it in a process of its own, since
// it fails.
func TestAStackThatDoesNotComeUpFailsItsTest(t *testing.T) {
	failing := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestIsWrong$")
	failing.Env = append(os.Environ(), innerEnv+"=wrong")
	out, err := failing.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "greeting") || strings.Contains(string(out), "not reached") {
		t.Errorf("%v\n%s", err, out)
	}
	nothingOnDisk(t)
}

func TestIsWrong(t *testing.T) {
	if os.Getenv(innerEnv) != "wrong" {
		return
	}
	lkuptest.Options{Vars: map[string]any{"greting": 1}}.Up(t, "testdata/web")
	t.Log("not reached")
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func lkup(args ...string) *exec.Cmd { return exec.Command(os.Getenv("LKUPTEST_PROGRAM"), args...) }

type listed struct {
	Stack             string
	Running, Machines int
}

func stacks(t *testing.T) []listed {
	t.Helper()
	out, err := lkup("ls", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Stacks []listed }
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	return all.Stacks
}

// qemus are the machines' processes below this test's state, asked of the
// system and not of lkup.
func qemus(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range all {
		words, err := os.ReadFile(path)
		program, _, _ := strings.Cut(string(words), "\x00")
		if err == nil && strings.HasPrefix(filepath.Base(program), "qemu-system") && bytes.Contains(words, []byte(os.Getenv("LKUP_STATE_DIR"))) {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

func nothingOnDisk(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"runs", "stacks"} {
		entries, err := os.ReadDir(filepath.Join(os.Getenv("LKUP_STATE_DIR"), dir))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if len(entries) > 0 {
			t.Errorf("left in %s: %v", dir, entries)
		}
	}
}
