package ssh_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/sshd"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/spec"
)

// serve makes a machine's keys as apply does, and a guest's server for them.
func serve(t *testing.T, shell string) drivers.Machine {
	t.Helper()
	return serveWaking(t, shell, nil)
}

func serveWaking(t *testing.T, shell string, wake func(guest.Wake) error) drivers.Machine {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	m := machine(t, listener.Addr().(*net.TCPAddr).Port)
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	server, err := sshd.New(sshd.Settings{
		HostKey:        read("ssh_host_ed25519_key"),
		AuthorizedKeys: []string{publicKey(t, read("id_ed25519"))},
		Env:            []string{"PATH=" + os.Getenv("PATH"), "COLOUR=green"},
		Dir:            t.TempDir(),
		Shell:          func() string { return shell },
		Wake:           wake,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }() // ends when the listener is closed
	return m
}

func machine(t *testing.T, port int) drivers.Machine {
	t.Helper()
	m := drivers.Machine{
		Address: "vm.web", ID: "0123abcd", Name: "web", Dir: t.TempDir(), RunDir: t.TempDir(), MAC: "52:54:00:01:23:ab",
		Ports: []drivers.Port{{Address: "127.0.0.1", Host: port, Guest: 22, Protocol: "tcp"}},
	}
	access := ssh.Access{Rand: rand.Reader, Now: time.Now}
	if _, err := access.Prepare(t.Context(), m, spec.VM{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func publicKey(t *testing.T, private []byte) string {
	t.Helper()
	signer, err := parse(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func connect(t *testing.T, m drivers.Machine) *ssh.Conn {
	t.Helper()
	conn, err := ssh.Connect(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

const anything = "*"

func TestCommandsGiveTheirStatusAndStreams(t *testing.T) {
	conn := connect(t, serve(t, "/bin/sh"))
	for _, tt := range []struct {
		name, script, in string
		status           int
		out, err         string
	}{
		{name: "status", script: "exit 7", status: 7},
		{name: "signal", script: "kill -TERM $$", status: 128 + 15, err: anything}, // shells differ in what they say
		{name: "input", script: "cat", in: strings.Repeat("x", 1<<20), out: strings.Repeat("x", 1<<20)},
		{name: "two streams", script: "echo out; echo err >&2", out: "out\n", err: "err\n"},
		{name: "environment", script: "echo $COLOUR", out: "green\n"},
		{name: "quotes", script: `printf %s "it's a \"test\" * $((1+1))"`, out: `it's a "test" * 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			status, err := conn.Exec(t.Context(), ssh.Command{
				Args: []string{"sh", "-c", tt.script}, Stdin: strings.NewReader(tt.in), Stdout: &out, Stderr: &errs,
			})
			if err != nil || status != tt.status || out.String() != tt.out || tt.err != anything && errs.String() != tt.err {
				t.Fatalf("status %d, %v, %d bytes out, %q on stderr", status, err, out.Len(), errs.String())
			}
		})
	}
}

func TestAnImageWithoutAShellRunsWords(t *testing.T) {
	conn := connect(t, serve(t, ""))
	status, output, err := conn.Run(t.Context(), []string{"echo", "a", "b"})
	if err != nil || status != 0 || string(output) != "a b\n" {
		t.Fatalf("%d, %q, %v", status, output, err)
	}
	status, output, err = conn.Run(t.Context(), []string{"no-such-program"})
	if err != nil || status != 127 {
		t.Fatalf("%d, %q, %v; want 127", status, output, err)
	}
	suicide := filepath.Join(t.TempDir(), "suicide")
	if err := os.WriteFile(suicide, []byte("#!/bin/sh\nkill -TERM $$\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	status, output, err = conn.Run(t.Context(), []string{suicide})
	if err != nil || status != 128+15 {
		t.Fatalf("%d, %q, %v; want 143, for no shell stands between", status, output, err)
	}
}

func TestEmptyWordsAreWords(t *testing.T) {
	conn := connect(t, serve(t, "/bin/sh"))
	_, output, err := conn.Run(t.Context(), []string{"printf", "[%s]", "", "x"})
	if err != nil || string(output) != "[][x]" {
		t.Fatalf("%q, %v", output, err)
	}
}

func TestATerminalHasItsSize(t *testing.T) {
	conn := connect(t, serve(t, "/bin/sh"))
	var out bytes.Buffer
	status, err := conn.Exec(t.Context(), ssh.Command{
		Args: []string{"stty", "size"}, Stdout: &out, TTY: &ssh.TTY{Term: "xterm", Width: 91, Height: 17},
	})
	if err != nil || status != 0 || strings.TrimSpace(out.String()) != "17 91" {
		t.Fatalf("%d, %v: %q", status, err, out.String())
	}
}

func TestFilesGoBothWays(t *testing.T) {
	conn := connect(t, serve(t, "/bin/sh"))
	files, err := conn.SFTP()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	path := filepath.Join(t.TempDir(), "file")
	f, err := files.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "content" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestConnectionsIntoTheGuest(t *testing.T) {
	conn := connect(t, serve(t, "/bin/sh"))
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "socket")
			}
			echo, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer echo.Close()
			go func() {
				c, err := echo.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
			c, err := conn.Dial(t.Context(), network, echo.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 4)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
				t.Fatalf("%q, %v", got, err)
			}
		})
	}
	if _, err := conn.DialTCP(t.Context(), "127.0.0.1:1"); err == nil {
		t.Fatal("a port that nobody listens on answers")
	}
}

func TestStrangersAreRefused(t *testing.T) {
	m := serve(t, "/bin/sh")
	other := machine(t, m.Ports[0].Host)
	swap := func(name string) drivers.Machine {
		mixed := m
		mixed.Dir = t.TempDir()
		for _, file := range []string{"ssh_host_ed25519_key", "id_ed25519"} {
			from := m.Dir
			if file == name {
				from = other.Dir
			}
			content, err := os.ReadFile(filepath.Join(from, file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(mixed.Dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return mixed
	}
	for _, file := range []string{"ssh_host_ed25519_key", "id_ed25519"} {
		if conn, err := ssh.Connect(t.Context(), swap(file)); err == nil {
			conn.Close()
			t.Errorf("a connection with another %s was made", file)
		}
	}
	connect(t, swap("")) // the copy as such is good
}

func TestAServerThatIsSilentIsGivenUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	silent := errors.New("it says nothing")
	m := machine(t, listener.Addr().(*net.TCPAddr).Port)
	for _, limit := range []time.Duration{0, 100 * time.Millisecond} { // as it connects, or later
		ctx, cancel := context.WithTimeoutCause(t.Context(), limit, silent)
		done := make(chan error, 1)
		go func() {
			_, err := ssh.Connect(ctx, m)
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, silent) {
				t.Errorf("%v, want the reason for which it gave up", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it did not give up")
		}
		cancel()
	}
}

func TestACancelledCommandIsHungUpOn(t *testing.T) {
	// What ignores a signal when it starts cannot trap it; so it is under nohup.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	conn := connect(t, serve(t, "/bin/sh"))
	mark := filepath.Join(t.TempDir(), "mark")
	begun, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, ssh.Command{
			Args:   []string{"sh", "-c", "trap 'echo hung up > " + mark + "; exit' HUP; echo begun; while :; do sleep 0.05; done"},
			Stdout: out,
		})
		out.Close()
		done <- err
	}()
	if _, err := begun.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, begun) }() // ends with the command
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	for limit := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
		if _, err := os.Stat(mark); err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatal("the command goes on")
		}
	}
}

func TestPlainOpenSSHConnectsStrictly(t *testing.T) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal("OpenSSH's client is needed; type: sudo apt-get install openssh-client")
	}
	m := serve(t, "/bin/sh")
	config, err := ssh.Config(m, "web")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (string, error) {
		output, err := exec.CommandContext(t.Context(), program, "-F", path, "web", "echo $COLOUR").CombinedOutput()
		return string(output), err
	}
	if output, err := run(); err != nil || output != "green\n" {
		t.Fatalf("%q, %v", output, err)
	}
	other := machine(t, m.Ports[0].Host)
	known, err := os.ReadFile(filepath.Join(other.Dir, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.Dir, "known_hosts"), known, 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := run(); err == nil || !strings.Contains(output, "HOST IDENTIFICATION HAS CHANGED") {
		t.Fatalf("another host key was taken: %q, %v", output, err)
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	m := machine(t, 1)
	before, err := os.ReadFile(filepath.Join(m.Dir, "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	access := ssh.Access{Rand: rand.Reader, Now: time.Now}
	if _, err := access.Prepare(t.Context(), m, spec.VM{}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(m.Dir, "id_ed25519"))
	if err != nil || !bytes.Equal(before, after) {
		t.Fatalf("the key changed: %v", err)
	}
	for _, path := range []string{
		filepath.Join(m.Dir, "id_ed25519"), filepath.Join(m.Dir, "ssh_host_ed25519_key"), filepath.Join(m.RunDir, "seed.cpio"),
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

func TestARestoredGuestIsToldWhatItCannotKnow(t *testing.T) {
	told := make(chan guest.Wake, 1)
	wake := guest.Wake{Time: 1_700_000_000_000_000_001, Entropy: []byte{1, 2, 0, 255}, Hostname: "web"}
	for name, test := range map[string]struct {
		hear func(guest.Wake) error
		want string // of the error
	}{
		"it hears":     {func(w guest.Wake) error { told <- w; return nil }, ""},
		"it cannot":    {func(guest.Wake) error { return errors.New("reseed: no device") }, "the guest did not wake: reseed: no device"},
		"an older one": {nil, "its init is of an older lkup, and does not hear that it was restored"},
	} {
		conn, err := ssh.Connect(t.Context(), serveWaking(t, "/bin/sh", test.hear))
		if err != nil {
			t.Fatal(err)
		}
		err = conn.Wake(t.Context(), wake)
		if got := fmt.Sprint(err); err == nil && test.want != "" || err != nil && got != test.want {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(wake, <-told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
