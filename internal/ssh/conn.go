package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Conn is a connection into a guest. It is safe for concurrent use.
type Conn struct{ client *ssh.Client }

// Close ends the connection and what runs over it.
func (c *Conn) Close() error { return c.client.Close() }

// answerLimit is how long a guest may take to say that it is there.
const answerLimit = 2 * time.Second

// Alive reports whether the guest answers over this connection. If it does not,
// the connection is good for nothing but to be closed.
func (c *Conn) Alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	answered := make(chan error, 1)
	go func() { // ended by Close at the latest
		_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err == nil
	case <-ctx.Done():
		return false
	}
}

// outputLimit is how much output Run keeps, in bytes.
const outputLimit = 64 << 10

// Run runs a command to its end, without input.
func (c *Conn) Run(ctx context.Context, command []string) (int, []byte, error) {
	var output limited
	status, err := c.Exec(ctx, Command{Args: command, Stdout: &output, Stderr: &output})
	return status, output.content.Bytes(), err
}

// limited keeps the beginning of what is written, and takes the rest.
type limited struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := outputLimit - l.content.Len(); room > 0 {
		l.content.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// DialTCP connects to an address as the guest sees it.
func (c *Conn) DialTCP(ctx context.Context, address string) (io.ReadWriteCloser, error) {
	return c.client.DialContext(ctx, "tcp", address)
}

// Dial connects to an address as the guest sees it: network is tcp, or unix for
// a socket's path. The connection knows no deadlines.
func (c *Conn) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.client.DialContext(ctx, network, address)
}

// subsystem begins a session with a subsystem, unless the guest knows none of
// that name. It waits for its answer until ctx ends.
func (c *Conn) subsystem(ctx context.Context, name string) (channel ssh.Channel, requests <-chan *ssh.Request, known bool, err error) {
	channel, requests, err = c.client.OpenChannel("session", nil)
	if err != nil {
		return nil, nil, false, fmt.Errorf("open a session: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = channel.Close() })
	defer stop()
	known, err = channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{name}))
	if err != nil {
		err = errors.Join(ctx.Err(), fmt.Errorf("ask for the subsystem %s: %w", name, err), channel.Close())
	}
	return channel, requests, known, err
}

// SFTP opens a file transfer session over the connection.
func (c *Conn) SFTP() (*sftp.Client, error) { return sftp.NewClient(c.client) }

// Command is what to run in a guest, with its streams, each of which may be nil.
type Command struct {
	Args   []string // none: a login shell
	Env    []string // NAME=VALUE
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	TTY    *TTY // nil: no terminal
	// Signals are passed on to the command: "INT", "TERM", as RFC 4254 names
	// them. It may be nil.
	Signals <-chan string
}

// TTY is the terminal that a command shall believe it has.
type TTY struct {
	Term          string
	Width, Height int         // columns and rows
	Resize        <-chan Size // may be nil
}

// Size is a terminal's new size.
type Size struct{ Width, Height int }

// Exec runs a command to its end and returns its exit status: 128 and the
// signal's number, as shells have it, if a signal ended it. When ctx ends, the
// command is hung up on.
func (c *Conn) Exec(ctx context.Context, command Command) (int, error) {
	session, err := c.client.NewSession()
	if err != nil {
		return 0, fmt.Errorf("open a session: %w", err)
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	if err := begin(session, command); err != nil {
		return 0, err
	}
	over := make(chan struct{})
	defer close(over)
	if command.TTY != nil && command.TTY.Resize != nil {
		go followSize(session, command.TTY.Resize, over)
	}
	if command.Signals != nil {
		go passSignals(session, command.Signals, over)
	}
	err = session.Wait()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return exitStatus(err)
}

func begin(session *ssh.Session, command Command) error {
	for _, entry := range command.Env {
		name, value, _ := strings.Cut(entry, "=")
		if err := session.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	session.Stdout, session.Stderr = command.Stdout, command.Stderr
	if err := feed(session, command.Stdin); err != nil {
		return err
	}
	if t := command.TTY; t != nil {
		modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: 38400, ssh.TTY_OP_OSPEED: 38400}
		if err := session.RequestPty(t.Term, t.Height, t.Width, modes); err != nil {
			return fmt.Errorf("ask for a terminal: %w", err)
		}
	}
	if len(command.Args) == 0 {
		return session.Shell()
	}
	return session.Start(Quote(command.Args))
}

// feed copies the input in the background. session.Stdin would do so too, but
// would have Wait wait for an input that nobody ends.
func feed(session *ssh.Session, stdin io.Reader) error {
	if stdin == nil {
		return nil
	}
	pipe, err := session.StdinPipe()
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(pipe, stdin) // the command may not care
		_ = pipe.Close()
	}()
	return nil
}

func followSize(session *ssh.Session, sizes <-chan Size, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case size := <-sizes:
			_ = session.WindowChange(size.Height, size.Width) // a wrong size is no reason to end
		}
	}
}

func passSignals(session *ssh.Session, signals <-chan string, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case signal := <-signals:
			_ = session.Signal(ssh.Signal(signal)) // it may have ended meanwhile
		}
	}
}

// signalNumbers are those of RFC 4254's signals on Linux.
var signalNumbers = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10,
	"SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
}

func exitStatus(err error) (int, error) {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Signal() != "":
		return 128 + signalNumbers[exit.Signal()], nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	case errors.As(err, &missing):
		return 0, errors.New("the guest hung up: it may have stopped")
	}
	return 0, err
}

// Quote makes one line of a command's words that a POSIX shell takes apart
// into the same words. A guest without a shell splits at white space, so words
// that need no quotes have none.
func Quote(words []string) string { return shellescape.QuoteCommand(words) }
