package drivertest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
)

// guest asks the machine's guest over HTTP.
type guest struct {
	t      *testing.T
	s      *scene
	m      *drivers.Machine
	base   string
	client http.Client
}

// guest adds a port to the machine, by which its guest can be asked once it
// was started.
func (s *scene) guest(t *testing.T, m *drivers.Machine) *guest {
	t.Helper()
	p := s.port(t, "tcp", s.h.Guest.HTTP)
	m.Ports = append(m.Ports, p)
	return &guest{t: t, s: s, m: m, base: fmt.Sprintf("http://127.0.0.1:%d", p.Host),
		// A connection that is made before the guest listens may never answer.
		client: http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// ask asks until there is an answer.
func (g *guest) ask(method, path, body string) (status int, answer string) {
	g.t.Helper()
	var failure error
	g.s.until(g.t, "the guest answers "+method+" "+path, func() bool {
		var request *http.Request
		request, failure = http.NewRequestWithContext(g.s.ctx, method, g.base+path, strings.NewReader(body))
		if failure != nil {
			g.t.Fatal(failure)
		}
		var response *http.Response
		if response, failure = g.client.Do(request); failure != nil {
			return false
		}
		defer response.Body.Close()
		var content []byte
		content, failure = io.ReadAll(response.Body)
		status, answer = response.StatusCode, string(content)
		return failure == nil
	}, func() string { return fmt.Sprintf("%v\n%s", failure, console(*g.m)) })
	return status, answer
}

func (g *guest) number(path string) int {
	g.t.Helper()
	_, answer := g.ask("GET", path, "")
	n, err := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil {
		g.t.Fatalf("GET %s: %q is no number", path, answer)
	}
	return n
}

func (g *guest) must(method, path, body string) string {
	g.t.Helper()
	status, answer := g.ask(method, path, body)
	if status != http.StatusOK {
		g.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

func forwarded(t *testing.T, s *scene) {
	g := s.guest(t, &s.m)
	echo := s.port(t, "udp", s.h.Guest.Echo)
	s.m.Ports = append(s.m.Ports, echo)
	s.start(t, s.m)
	g.must("GET", "/memory", "")
	conn, err := net.Dial("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(echo.Host)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer := make([]byte, 16)
	s.until(t, "the guest sends a packet back", func() bool {
		if _, err := conn.Write([]byte("ping")); err != nil {
			return false
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(answer)
		return err == nil && string(answer[:n]) == "ping"
	}, func() string { return console(s.m) })
	for _, p := range s.m.Ports {
		elsewhere := drivers.Port{Address: "127.0.0.2", Host: p.Host, Protocol: p.Protocol}
		release, err := hold(elsewhere)
		if err != nil {
			t.Errorf("a port asked for on 127.0.0.1 is held elsewhere too: %v", err)
			continue
		}
		release()
	}
}

func powerButton(t *testing.T, s *scene) {
	s.start(t, s.m)
	s.up(t, s.m, 1)
	if report := s.stop(t, s.m, time.Minute); report.By != drivers.StopACPI || report.Took <= 0 || report.Took > time.Minute {
		t.Errorf("report %+v, want %s within a minute", report, drivers.StopACPI)
	}
	s.is(t, s.m, drivers.Stopped)
}

// stopWithoutGrace ends a guest that is not asked, at once.
func stopWithoutGrace(t *testing.T, s *scene) {
	s.start(t, s.m)
	report := s.stop(t, s.m, 0)
	if report.By == drivers.StopNone || report.By == drivers.StopACPI || report.By == drivers.StopGuest {
		t.Errorf("stopped by %q, though the guest had no time", report.By)
	}
	s.is(t, s.m, drivers.Stopped)
}

func shares(t *testing.T, s *scene) {
	rw, ro := t.TempDir(), t.TempDir()
	for _, dir := range []string{rw, ro} {
		if err := os.WriteFile(filepath.Join(dir, "from-host"), []byte(dir), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.m.Shares = []drivers.Share{
		{Tag: "rw", Host: rw, Guest: "/rw"},
		{Tag: "ro", Host: ro, Guest: "/ro", ReadOnly: true},
	}
	g := s.guest(t, &s.m)
	s.start(t, s.m)
	for tag, dir := range map[string]string{"rw": rw, "ro": ro} {
		g.must("PUT", "/mount/"+tag, "")
		if got := g.must("GET", "/file/"+tag+"/from-host", ""); got != dir {
			t.Errorf("the guest reads %q, want %q", got, dir)
		}
	}
	g.must("PUT", "/file/rw/from-guest", "hello")
	if got, err := os.ReadFile(filepath.Join(rw, "from-guest")); string(got) != "hello" {
		t.Errorf("the host reads %q, %v, want hello", got, err)
	}
	if status, answer := g.ask("PUT", "/file/ro/from-guest", "hello"); status != http.StatusInternalServerError {
		t.Errorf("the guest writes to a share that is read-only: %d %s", status, answer)
	}
	if _, err := os.Stat(filepath.Join(ro, "from-guest")); !os.IsNotExist(err) {
		t.Errorf("the guest wrote to a share that is read-only: %v", err)
	}
}

func consoleKept(t *testing.T, s *scene) {
	s.start(t, s.m)
	s.up(t, s.m, 1)
	s.stop(t, s.m, 0)
	first := console(s.m)
	s.start(t, s.m)
	s.up(t, s.m, 2)
	s.stop(t, s.m, 0)
	if second := console(s.m); !strings.HasPrefix(second, first) {
		t.Errorf("the second start lost what the first had written:\n%s\n---\n%s", first, second)
	}
	info, err := os.Stat(filepath.Join(s.m.Dir, drivers.ConsoleLog))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode is %o, want 600", info.Mode().Perm())
	}
}

func attach(t *testing.T, s *scene) {
	consoler := s.d.(drivers.Consoler)
	s.create(t, s.m)
	if c, err := consoler.Console(s.ctx, s.m); err == nil {
		c.Close()
		t.Error("one can attach to what does not run")
	}
	s.start(t, s.m)
	s.up(t, s.m, 1)
	for n := range 2 { // one after another
		c, err := consoler.Console(s.ctx, s.m)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := consoler.Console(s.ctx, s.m); err == nil {
			second.Close()
			t.Error("two are attached at once")
		}
		said := fmt.Sprintf("hello %d", n)
		converse(t, s, c, said)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.until(t, "the log has it too", func() bool { return strings.Contains(console(s.m), "heard: "+said) },
			func() string { return console(s.m) })
	}
}

// converse types a line and waits for the guest's answer.
func converse(t *testing.T, s *scene, c io.ReadWriteCloser, said string) {
	t.Helper()
	lines := make(chan string)
	over := make(chan struct{})
	defer close(over)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(c); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-over:
				return
			}
		}
	}()
	if _, err := io.WriteString(c, said+"\n"); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case line, open := <-lines:
			if !open {
				t.Fatalf("the console ended:\n%s", console(s.m))
			}
			if strings.Contains(line, "heard: "+said) {
				return
			}
		case <-s.ctx.Done():
			t.Fatalf("the guest does not answer:\n%s", console(s.m))
		}
	}
}
