package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// terminals are the terminals of a script, by name.
type terminals map[string]*terminal

type terminalsKey struct{}

// terminal is one with a program on it.
type terminal struct {
	*os.File
	cmd  *exec.Cmd
	done chan error

	mu    sync.Mutex // guards shown
	shown bytes.Buffer
}

// coloured matches what has no place in patterns: colours, ends of rows.
var coloured = regexp.MustCompile(`\x1b\[[0-9;]*[mK]|\r`)

// text is what the terminal has shown and nobody has taken yet, without
// colours. taken takes the text up to the end of a pattern, if it is there.
func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return coloured.ReplaceAllString(t.shown.String(), "")
}

func (t *terminal) taken(pattern *regexp.Regexp) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := coloured.ReplaceAll(t.shown.Bytes(), nil)
	at := pattern.FindIndex(text)
	if at != nil {
		t.shown.Reset()
		t.shown.Write(text[at[1]:])
	}
	return at != nil
}

// read keeps what the program writes, until it is gone.
func (t *terminal) read() {
	part := make([]byte, 4096)
	for {
		n, err := t.Read(part)
		t.mu.Lock()
		t.shown.Write(part[:n])
		t.mu.Unlock()
		if err != nil {
			t.done <- t.cmd.Wait()
			return
		}
	}
}

func terminalOf(ts *testscript.TestScript, name string) *terminal {
	t := ts.Value(terminalsKey{}).(terminals)[name]
	if t == nil {
		ts.Fatalf("there is no terminal %s", name)
	}
	return t
}

func sizeIn(ts *testscript.TestScript, text string) *pty.Winsize {
	columns, rows, _ := strings.Cut(text, "x")
	c, err := strconv.ParseUint(columns, 10, 16)
	ts.Check(err)
	r, err := strconv.ParseUint(rows, 10, 16)
	ts.Check(err)
	return &pty.Winsize{Cols: uint16(c), Rows: uint16(r)}
}

// onTerminal NAME COLUMNSxROWS COMMAND... starts a command on a terminal.
func onTerminal(ts *testscript.TestScript, _ bool, args []string) {
	program := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if found, err := exec.LookPath(filepath.Join(dir, args[2])); err == nil && program == "" {
			program = found
		}
	}
	cmd := exec.Command(program, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"TERM=xterm"}
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "GORACE", "LKUP_STATE_DIR", "LKUP_CACHE_DIR", "LKUP_RUNTIME_DIR", "LKUP_AUTO_PORTS", "LKUP_VAR_port", "LKUP_VAR_ssh", "LKUP_VAR_auth", "LKUP_VAR_command", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL",
		"GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0", "GIT_CONFIG_KEY_1", "GIT_CONFIG_VALUE_1",
	} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	file, err := pty.StartWithSize(cmd, sizeIn(ts, args[1]))
	ts.Check(err)
	t := &terminal{File: file, cmd: cmd, done: make(chan error, 1)}
	ts.Value(terminalsKey{}).(terminals)[args[0]] = t
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = file.Close()
	})
	go t.read()
}

// typed NAME TEXT types a line. ^C is the key.
func typed(ts *testscript.TestScript, _ bool, args []string) {
	_, err := io.WriteString(terminalOf(ts, args[0]), strings.ReplaceAll(args[1], "^C", "\x03")+"\r")
	ts.Check(err)
}

// shows NAME PATTERN waits until a terminal has shown something, and forgets
// that; with ! it demands that it has not, since.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	t := terminalOf(ts, args[0])
	pattern := regexp.MustCompile("(?m)" + args[1])
	if neg {
		if pattern.MatchString(t.text()) {
			ts.Fatalf("%s shows %s:\n%q", args[0], args[1], ending(t.text()))
		}
		return
	}
	for limit := time.Now().Add(patience); !t.taken(pattern); <-time.After(20 * time.Millisecond) {
		if time.Now().After(limit) {
			ts.Fatalf("not within %s: %s shows %s; it shows %q", patience, args[0], args[1], ending(t.text()))
		}
	}
}

// ending is the last few rows of a text.
func ending(text string) string { return text[max(0, len(text)-2000):] }

// resized NAME COLUMNSxROWS gives a terminal another size.
func resized(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(pty.Setsize(terminalOf(ts, args[0]).File, sizeIn(ts, args[1])))
}

// left NAME STATUS waits until the program on a terminal has ended so.
func left(ts *testscript.TestScript, _ bool, args []string) {
	t := terminalOf(ts, args[0])
	var err error
	eventually(ts, args[0]+" ends", func() bool {
		select {
		case err = <-t.done:
			return true
		default:
			return false
		}
	})
	status := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(status) != args[1] {
		ts.Fatalf("%s ended with exit status %d, want %s; it shows %q", args[0], status, args[1], t.text())
	}
}

// withTerminals adds the commands that have to do with terminals.
func withTerminals(commands map[string]func(ts *testscript.TestScript, neg bool, args []string)) map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	commands["terminal"], commands["typed"], commands["shows"], commands["resized"], commands["left"] = onTerminal, typed, shows, resized, left
	return commands
}
