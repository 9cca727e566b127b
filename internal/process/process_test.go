package process_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/process"
)

// sleeper starts a process with a word in its command line, and ends it with the test.
func sleeper(t *testing.T, word string) (*exec.Cmd, process.Identity) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read line", word)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	i, err := process.Of(cmd.Process.Pid, word)
	if err != nil {
		t.Fatal(err)
	}
	// For a moment after exec, its command line is empty.
	wait(t, "its command line is there", func() bool { return i.Verify() == process.Yes })
	return cmd, i
}

func TestAProcessIsProvenByAllThreeMarksOnly(t *testing.T) {
	_, proven := sleeper(t, "marked-f00d")
	change := func(edit func(*process.Identity)) process.Identity {
		i := proven
		edit(&i)
		return i
	}
	for name, test := range map[string]struct {
		identity process.Identity
		want     process.Verdict
	}{
		"all three":          {proven, process.Yes},
		"another start time": {change(func(i *process.Identity) { i.Start++ }), process.No},
		"another nonce":      {change(func(i *process.Identity) { i.Nonce = "marked-beef" }), process.No},
		"no nonce":           {change(func(i *process.Identity) { i.Nonce = "" }), process.No},
		"another pid":        {change(func(i *process.Identity) { i.PID = os.Getpid() }), process.No},
		"a pid of nobody":    {change(func(i *process.Identity) { i.PID = 1<<22 + 1 }), process.No},
		"no pid":             {change(func(i *process.Identity) { i.PID = 0 }), process.No},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.identity.Verify(); got != test.want {
				t.Errorf("verdict %q, want %q", got, test.want)
			}
		})
	}
}

func TestAZombieIsGone(t *testing.T) {
	cmd, i := sleeper(t, "marked-zombie")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, "it becomes a zombie", func() bool { return i.Verify() == process.No })
	if err := i.Signal(syscall.SIGTERM); !errors.Is(err, process.ErrGone) {
		t.Errorf("Signal: %v, want ErrGone", err)
	}
}

func TestOnlyTheProvenProcessIsSignalled(t *testing.T) {
	stranger, i := sleeper(t, "marked-stranger")
	forged := i
	forged.Nonce = "marked-mine"
	if err := forged.Signal(syscall.SIGKILL); !errors.Is(err, process.ErrGone) {
		t.Errorf("Signal: %v, want ErrGone", err)
	}
	if i.Verify() != process.Yes {
		t.Fatal("the stranger was killed")
	}
	if err := i.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := stranger.Wait(); !errors.As(err, &exit) || exit.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v, want SIGKILL", err)
	}
}

func TestFindGivesEveryProcessWithTheWord(t *testing.T) {
	_, one := sleeper(t, "pre-marked-find-post")
	_, two := sleeper(t, "marked-find")
	sleeper(t, "marked-other")
	found, err := process.Find("marked-find")
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]int64{}
	for _, i := range found {
		got[i.PID] = i.Start
	}
	want := map[int]int64{one.PID: one.Start, two.PID: two.Start}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if found, err := process.Find(""); len(found) != 0 || err != nil {
		t.Errorf("Find of nothing: %v, %v", found, err)
	}
}

func TestStartedIsAboutNow(t *testing.T) {
	before := time.Now().Add(-3 * time.Second)
	_, i := sleeper(t, "marked-started")
	started, err := i.Started()
	if err != nil {
		t.Fatal(err)
	}
	if started.Before(before) || started.After(time.Now().Add(3*time.Second)) {
		t.Errorf("started %s, want about now", started)
	}
}

func TestHolderNamesTheListener(t *testing.T) {
	self := filepath.Base(os.Args[0])
	tests := []struct{ name, protocol, listen, ask string }{
		{"the same address", "tcp", "127.0.0.1", "127.0.0.1"},
		{"all addresses", "tcp", "0.0.0.0", "127.0.0.1"},
		{"one of all", "tcp", "127.0.0.1", "0.0.0.0"},
		{"udp", "udp", "127.0.0.1", "127.0.0.1"},
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		tests = append(tests, struct{ name, protocol, listen, ask string }{"IPv6", "tcp", "::1", "::1"})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			port := listen(t, test.protocol, test.listen)
			got, found := process.Holder(test.ask, port, test.protocol)
			if !found || got.PID != os.Getpid() || got.Name != self || !strings.Contains(got.Command, self) {
				t.Errorf("holder of %s %d: %+v, %t", test.protocol, port, got, found)
			}
			if want := fmt.Sprintf("%s (process %d)", self, os.Getpid()); got.String() != want {
				t.Errorf("it reads %q, want %q", got, want)
			}
		})
	}
	t.Run("another address", func(t *testing.T) {
		port := listen(t, "tcp", "127.0.0.1")
		if got, found := process.Holder("127.0.0.2", port, "tcp"); found {
			t.Errorf("%v holds a port that is free", got)
		}
	})
	t.Run("another protocol", func(t *testing.T) {
		port := listen(t, "tcp", "127.0.0.1")
		if got, found := process.Holder("127.0.0.1", port, "udp"); found && got.PID == os.Getpid() {
			t.Errorf("%v holds a port that is free", got)
		}
	})
}

func listen(t *testing.T, protocol, address string) (port int) {
	t.Helper()
	where := net.JoinHostPort(address, "0")
	if protocol == "udp" {
		c, err := net.ListenPacket("udp", where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
