package sshd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/creack/pty"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/guest"
)

// The messages are RFC 4254's, section 6.
type (
	ptyRequest struct {
		Term          string
		Columns, Rows uint32
		Width, Height uint32 // pixels
		Modes         string
	}
	resizeRequest struct {
		Columns, Rows uint32
		Width, Height uint32
	}
	envRequest    struct{ Name, Value string }
	execRequest   struct{ Command string }
	signalRequest struct{ Signal string }
	exitStatus    struct{ Status uint32 }
	exitSignal    struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}
)

// session is one shell, command or subsystem.
type session struct {
	*connection
	channel ssh.Channel
	env     []string
	window  *pty.Winsize // nil without a terminal
	term    string

	mu       sync.Mutex
	terminal *os.File
	process  *os.Process
	early    []syscall.Signal // came before the process was known
	gone     bool             // the client
}

func (c *connection) session(channel ssh.NewChannel) {
	accepted, requests, err := channel.Accept()
	if err != nil {
		return
	}
	s := &session{connection: c, channel: accepted}
	begun := false
	for r := range requests {
		var ok bool
		var run func()
		switch r.Type {
		case "pty-req":
			ok = s.wantTerminal(r.Payload)
		case "window-change":
			ok = s.resize(r.Payload)
		case "env":
			ok = s.setEnv(r.Payload)
		case "signal":
			ok = s.signal(r.Payload)
		case "exec", "shell", "subsystem":
			if ok = !begun; ok {
				begun = true
				run = s.begin(r)
				ok = run != nil
			}
		default:
			ok = false
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
		if run != nil {
			go run() // after the reply: what ends at once closes the channel
		}
	}
	s.hangUp()
}

// begin is what runs what the client asks for; nil if there is no such thing.
func (s *session) begin(r *ssh.Request) func() {
	var m execRequest
	switch {
	case r.Type != "shell" && ssh.Unmarshal(r.Payload, &m) != nil:
		return nil
	case r.Type == "subsystem" && m.Command == "sftp":
		return s.sftp
	case r.Type == "subsystem" && m.Command == guest.WakeSubsystem && s.settings.Wake != nil:
		return func() { s.over(s.wake) }
	case r.Type == "subsystem" && m.Command == guest.RepeatSubsystem && s.settings.Repeat != nil:
		return func() { s.over(func() error { return s.settings.Repeat(s.channel) }) }
	case r.Type == "subsystem":
		return nil
	}
	return func() { s.command(m.Command) }
}

// sftp serves files. Paths that are not absolute begin in this process's own
// directory: a server that has another one would make relative links absolute.
func (s *session) sftp() {
	server, err := sftp.NewServer(s.channel)
	if err == nil {
		err = server.Serve()
	}
	status := uint32(0)
	if err != nil && !errors.Is(err, io.EOF) {
		status = 1
	}
	s.end("exit-status", ssh.Marshal(exitStatus{status}))
}

// mostWake is how long what is told to a woken guest may be.
const mostWake = 64 << 10

// wake hands on what the host tells a guest that was restored.
func (s *session) wake() error {
	var w guest.Wake
	if err := json.NewDecoder(io.LimitReader(s.channel, mostWake)).Decode(&w); err != nil {
		return err
	}
	return s.settings.Wake(w)
}

// over does what a subsystem is for, and tells the client how it ended.
func (s *session) over(do func() error) {
	status := uint32(0)
	if err := do(); err != nil {
		status = 1
		fmt.Fprintln(s.channel.Stderr(), err)
	}
	s.end("exit-status", ssh.Marshal(exitStatus{status}))
}

// command runs a command, or a login shell if it is empty, to its end.
func (s *session) command(line string) {
	cmd, err := s.prepare(line)
	if err == nil {
		err = s.run(cmd)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		s.end("exit-status", ssh.Marshal(exitStatus{0}))
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled():
		name := signalName(exit.Sys().(syscall.WaitStatus).Signal())
		s.end("exit-signal", ssh.Marshal(exitSignal{Signal: name, Language: "en"}))
	case errors.As(err, &exit):
		s.end("exit-status", ssh.Marshal(exitStatus{uint32(exit.ExitCode())}))
	default:
		// As shells do: 127 for what is not there, 126 for what will not run.
		status := uint32(126)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			status = 127
		}
		_, _ = io.WriteString(s.channel.Stderr(), err.Error()+"\n")
		s.end("exit-status", ssh.Marshal(exitStatus{status}))
	}
}

// prepare says what to run: a shell's word, or without a shell the words.
func (s *session) prepare(line string) (*exec.Cmd, error) {
	shell := s.settings.Shell()
	words := strings.Fields(line)
	var cmd *exec.Cmd
	switch {
	case shell != "" && line == "":
		cmd = exec.Command(shell)
		cmd.Args[0] = "-" + shell[strings.LastIndexByte(shell, '/')+1:] // a login shell
	case shell != "":
		cmd = exec.Command(shell, "-c", line)
	case len(words) == 0:
		return nil, errors.New("this image has no shell; give a command")
	default:
		cmd = exec.Command(words[0], words[1:]...)
	}
	cmd.Env = append(slices.Clone(s.settings.Env), s.env...)
	if s.window != nil {
		cmd.Env = append(cmd.Env, "TERM="+s.term)
	}
	cmd.Dir = s.settings.Dir
	return cmd, cmd.Err
}

func (s *session) run(cmd *exec.Cmd) error {
	if s.window != nil {
		return s.runOnTerminal(cmd)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout, cmd.Stderr = s.channel, s.channel.Stderr()
	// A pipe of our own, because Wait must not wait for the client's input.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := s.settings.Processes.Start(cmd); err != nil {
		return err
	}
	s.started(cmd.Process, nil)
	go func() {
		_, _ = io.Copy(stdin, s.channel) // the command may not care
		_ = stdin.Close()
	}()
	defer s.started(nil, nil)
	return s.settings.Processes.Wait(cmd)
}

func (s *session) runOnTerminal(cmd *exec.Cmd) error {
	ours, theirs, err := pty.Open()
	if err != nil {
		return err
	}
	defer ours.Close()
	if err := pty.Setsize(ours, s.window); err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = s.settings.Processes.Start(cmd)
	_ = theirs.Close() // the child has its own
	if err != nil {
		return err
	}
	s.started(cmd.Process, ours)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(s.channel, ours) // ends with EIO when the last process has closed it
	}()
	go func() { _, _ = io.Copy(ours, s.channel) }()
	err = s.settings.Processes.Wait(cmd)
	s.started(nil, nil)
	<-copied
	return err
}

func (s *session) started(p *os.Process, terminal *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.terminal = p, terminal
	if p != nil {
		for _, signal := range s.early {
			_ = syscall.Kill(-p.Pid, signal)
		}
		s.early = nil
	}
	s.tellIfGone()
}

// end tells the client how it ended, and closes.
func (s *session) end(kind string, message []byte) {
	_, _ = s.channel.SendRequest(kind, false, message)
	_ = s.channel.Close()
}

// hangUp tells what still runs that its client is gone.
func (s *session) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.tellIfGone()
}

// tellIfGone is for whoever holds mu: the client may go before the process is
// known, and after.
func (s *session) tellIfGone() {
	if s.gone && s.process != nil {
		_ = syscall.Kill(-s.process.Pid, syscall.SIGHUP) // its whole session
	}
}

func (s *session) wantTerminal(payload []byte) bool {
	var m ptyRequest
	if ssh.Unmarshal(payload, &m) != nil {
		return false
	}
	s.term = m.Term
	s.window = &pty.Winsize{Cols: uint16(m.Columns), Rows: uint16(m.Rows)}
	return true
}

func (s *session) resize(payload []byte) bool {
	var m resizeRequest
	if ssh.Unmarshal(payload, &m) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terminal != nil && pty.Setsize(s.terminal, &pty.Winsize{Cols: uint16(m.Columns), Rows: uint16(m.Rows)}) == nil
}

func (s *session) setEnv(payload []byte) bool {
	var m envRequest
	if ssh.Unmarshal(payload, &m) != nil || m.Name == "" || strings.ContainsAny(m.Name, "=\x00") {
		return false
	}
	s.env = append(s.env, m.Name+"="+m.Value)
	return true
}

// signals are RFC 4254's names.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
	"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
	"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

func signalName(signal syscall.Signal) string {
	for name, s := range signals {
		if s == signal {
			return name
		}
	}
	return "KILL"
}

func (s *session) signal(payload []byte) bool {
	var m signalRequest
	if ssh.Unmarshal(payload, &m) != nil {
		return false
	}
	signal, known := signals[m.Signal]
	if !known {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		s.early = append(s.early, signal)
		return true
	}
	return syscall.Kill(-s.process.Pid, signal) == nil
}
