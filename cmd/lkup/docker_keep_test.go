package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/dockerapi"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/porttest"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

// testEngine answers as an Engine does whose only container publishes a port,
// or none if that is 0.
type testEngine struct {
	*httptest.Server
	mu      sync.Mutex
	port    int
	happens chan struct{} // closed when something happens to the container
}

func startEngine(t *testing.T, port int) *testEngine {
	e := &testEngine{port: port, happens: make(chan struct{})}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *testEngine) publish(port int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.port = port
	close(e.happens)
	e.happens = make(chan struct{})
}

func (e *testEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	port, happens := e.port, e.happens
	e.mu.Unlock()
	if r.URL.Path == "/containers/json" {
		fmt.Fprintf(w, `[{"Id": "a", "Names": ["/web"], "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": %d, "Type": "tcp"}]}]`, port)
		return
	}
	w.(http.Flusher).Flush()
	for {
		select {
		case <-happens:
			e.mu.Lock()
			happens = e.happens
			e.mu.Unlock()
			fmt.Fprintln(w, `{"status": "start"}`)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// logged is what a keeper says.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) say(a spec.Address, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(a)+": "+text)
}

func (l *logged) has(text string) (count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			count++
		}
	}
	return count
}

// keeper keeps an engine on this host, for a machine that nobody can enter.
func keeper(t *testing.T, engine *testEngine, log *logged) *dockerKeeper {
	dir, err := os.MkdirTemp("", "keep") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithCancel(t.Context())
	own := &call{ctx: ctx}
	k := &dockerKeeper{
		instance: state.Instance{Address: "vm.a"}, call: own, line: &guestLine{call: own}, paths: layout.Stack{Run: dir}, tell: log.say,
		cancel: cancel, over: make(chan struct{}), forwards: map[string]*dockerForward{},
		engine: dockerapi.New(func(ctx context.Context) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", engine.Listener.Addr().String())
		}),
	}
	k.line.reached.instance = k.instance
	return k
}

// settles waits for what a keeper does by itself.
func settles(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func TestAnEngineIsKeptUntilItsKeeperEnds(t *testing.T) {
	t.Parallel()
	block := porttest.Of(t)
	first, err1 := block.Next()
	second, err2 := block.Next()
	engine, log := startEngine(t, first), &logged{}
	k := keeper(t, engine, log)
	socket := k.paths.Docker("vm.a")
	// A keeper that was killed left its socket.
	if err := errors.Join(err1, err2, os.WriteFile(socket, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(k.over)
		k.run(k.call.ctx)
	}()
	open := func(port int) bool {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	publishes := func(port int) func() bool {
		return func() bool {
			all, ok, err := readDockerPorts(k.paths, "vm.a")
			return err == nil && ok && len(all) == 1 && all[0].Guest == net.JoinHostPort("0.0.0.0", strconv.Itoa(port))
		}
	}
	settles(t, "the first port is told of", publishes(first))
	info, err := os.Stat(socket)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("its socket: %v, %v; want one that is this user's alone", info, err)
	}
	engine.publish(second)
	settles(t, "the second port is told of", publishes(second))
	if open(first) || !open(second) {
		t.Errorf("the first port is here: %t, the second: %t", open(first), open(second))
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("nobody is behind the socket, and its client hears %v", err)
	}

	engine.CloseClientConnections() // it is started anew
	settles(t, "its end is told of", func() bool { return log.has("vm.a: its Docker Engine does not answer: ") == 1 })
	engine.publish(first)
	settles(t, "it is followed again", publishes(first))
	k.end()
	left, err := os.ReadDir(k.paths.Run)
	if err != nil || len(left) != 0 || open(first) {
		t.Errorf("it ended, and left %v, %v; its port is here: %t", left, err, open(first))
	}
	if _, ok, err := readDockerPorts(k.paths, "vm.a"); ok || err != nil {
		t.Errorf("it ended, and what became of its ports is read: %t, %v", ok, err)
	}
}

func TestAnEngineWhoseSocketCannotBeHereIsNotKept(t *testing.T) {
	t.Parallel()
	log := &logged{}
	k := keeper(t, startEngine(t, 0), log)
	if err := os.RemoveAll(k.paths.Run); err != nil {
		t.Fatal(err)
	}
	k.run(k.call.ctx) // it ends by itself
	if log.has("vm.a: the socket of its Docker Engine cannot be here: ") != 1 {
		t.Errorf("said: %q", log.lines)
	}
}

// TestWhatBecameOfPortsIsWrittenOnceAndTriedAgain: the file's readers and the
// log hear of what is new alone.
func TestWhatBecameOfPortsIsWrittenOnceAndTriedAgain(t *testing.T) {
	t.Parallel()
	log := &logged{}
	k := keeper(t, startEngine(t, 0), log)
	file := k.paths.DockerPorts("vm.a")
	rows := []view.DockerPort{{Container: "dns", Guest: "0.0.0.0:53", Private: 53, Protocol: "udp", Problem: "only TCP is forwarded"}}
	if err := os.Mkdir(file, 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	k.put(rows)
	k.put(rows)
	if log.has("") != 1 {
		t.Errorf("what cannot be written is said as %q; want it once", log.lines)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	k.put(rows)
	all, ok, err := readDockerPorts(k.paths, "vm.a")
	if diff := cmp.Diff(rows, all); diff != "" || !ok || err != nil {
		t.Errorf("tried again: %t, %v\n%s", ok, err, diff)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	k.put(rows)
	if _, ok, _ := readDockerPorts(k.paths, "vm.a"); ok || log.has("only TCP is forwarded") != 1 {
		t.Errorf("nothing is new, and it is written: %t; said: %q", ok, log.lines)
	}
	k.put(nil)
	content, err := os.ReadFile(file)
	var none []view.DockerPort
	if err := errors.Join(err, json.Unmarshal(content, &none)); err != nil || len(none) != 0 {
		t.Errorf("no ports: %q, %v", content, err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := readDockerPorts(k.paths, "vm.a"); ok || err == nil || !strings.Contains(err.Error(), "vm.a") {
		t.Errorf("a file that is damaged: %t, %v", ok, err)
	}
}

// TestAnEngineIsKeptForOneRunOfItsMachine: whatever else its machine became,
// its keeper ends, and another one begins if there is something to keep.
func TestAnEngineIsKeptForOneRunOfItsMachine(t *testing.T) {
	t.Parallel()
	was := state.Instance{
		Address: "vm.a", ID: "0a", Driver: "qemu", Created: true, Proven: state.Process{PID: 7},
		Applied: spec.VM{Name: "a", Docker: true, Running: true, Ports: []spec.Port{{Guest: 80, Host: 8080}}},
	}
	for name, tt := range map[string]struct {
		change      func(*state.Instance)
		same, there bool
	}{
		"nothing":        {func(*state.Instance) {}, true, true},
		"it is gone":     {func(i *state.Instance) { i.Address = "vm.b" }, false, false},
		"it is halted":   {func(i *state.Instance) { i.Halted = true }, false, false},
		"it is to stop":  {func(i *state.Instance) { i.Applied.Running = false }, false, false},
		"no engine":      {func(i *state.Instance) { i.Applied.Docker = false }, false, false},
		"half made":      {func(i *state.Instance) { i.Created = false }, false, false},
		"not proven":     {func(i *state.Instance) { i.Proven = state.Process{} }, false, false},
		"started anew":   {func(i *state.Instance) { i.Proven.PID = 8 }, false, true},
		"made anew":      {func(i *state.Instance) { i.ID = "0b" }, false, true},
		"its ports":      {func(i *state.Instance) { i.Applied.Ports = nil }, false, true},
		"unknown driver": {func(i *state.Instance) { i.Driver, i.ID = "none", "0b" }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := keeper(t, startEngine(t, 0), &logged{})
			k.instance = was
			go func() {
				defer close(k.over)
				<-k.call.ctx.Done()
			}()
			host := Host{Getenv: func(string) string { return "" }, Home: t.TempDir(), TempDir: t.TempDir()}
			d := &dockers{call: &call{ctx: t.Context(), Host: host}, paths: k.paths, say: (&logged{}).say, all: map[spec.Address]*dockerKeeper{"vm.a": k}}
			defer d.close()
			is := was
			tt.change(&is)
			d.follow(t.Context(), state.State{Instances: map[spec.Address]state.Instance{is.Address: is}})
			if same, there := d.all["vm.a"] == k, d.all["vm.a"] != nil; same != tt.same || there != tt.there {
				t.Errorf("it is kept by the same: %t, and at all: %t", same, there)
			}
			if over := k.call.ctx.Err() != nil; over == tt.same {
				t.Errorf("the keeper ended: %t", over)
			}
		})
	}
}
