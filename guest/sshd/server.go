// Package sshd is the SSH server of lkup's init: commands, shells with a
// terminal, SFTP, and forwarding of TCP and unix sockets both ways.
//
// Whoever holds one of the given keys is root in the guest; nobody else gets
// beyond the handshake. It runs on any unix, so it is tested without a guest.
package sshd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/guest"
)

// Settings are what a server is made of.
type Settings struct {
	HostKey        []byte   // private, OpenSSH PEM
	AuthorizedKeys []string // lines as in authorized_keys
	// Env is the environment of commands and shells, as NAME=VALUE.
	Env []string
	// Dir is where they start.
	Dir string
	// Shell finds the shell; "" if there is none. Commands are then split at
	// white space and run directly.
	Shell func() string
	// Processes starts and awaits children; init reaps its own way.
	Processes Processes
	// Wake is called with what a client sends to the subsystem [guest.WakeSubsystem].
	// It may be nil.
	Wake func(guest.Wake) error
	// Repeat talks with a client of the subsystem [guest.RepeatSubsystem], until
	// that has no more to say. It may be nil.
	Repeat func(client io.ReadWriter) error
	// Log receives a line for each thing worth telling. It may be nil.
	Log func(format string, args ...any)
}

// Processes starts and awaits child processes.
type Processes interface {
	Start(*exec.Cmd) error
	Wait(*exec.Cmd) error
}

// Server answers SSH connections. Its methods may be called concurrently.
type Server struct {
	settings Settings
	config   *ssh.ServerConfig
}

// New checks the keys and makes a server.
func New(s Settings) (*Server, error) {
	key, err := ssh.ParsePrivateKey(s.HostKey)
	if err != nil {
		return nil, fmt.Errorf("read the host key: %w", err)
	}
	var allowed [][]byte
	for _, line := range s.AuthorizedKeys {
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("read an authorized key: %w", err)
		}
		allowed = append(allowed, public.Marshal())
	}
	config := &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
			for _, key := range allowed {
				if bytes.Equal(key, offered.Marshal()) {
					return &ssh.Permissions{}, nil
				}
			}
			return nil, errors.New("unknown key")
		},
	}
	config.AddHostKey(key)
	if s.Log == nil {
		s.Log = func(string, ...any) {}
	}
	if s.Processes == nil {
		s.Processes = plainProcesses{}
	}
	return &Server{settings: s, config: config}, nil
}

// Serve answers connections until the listener is closed.
func (s *Server) Serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.serve(conn) // ends with its connection
	}
}

func (s *Server) serve(raw net.Conn) {
	conn, channels, requests, err := ssh.NewServerConn(raw, s.config)
	if err != nil {
		_ = raw.Close() // a stranger, or a probe: nothing to tell
		return
	}
	c := &connection{Server: s, conn: conn, listeners: map[string]net.Listener{}}
	defer c.close()
	go c.serveRequests(requests)
	for channel := range channels {
		go c.serveChannel(channel)
	}
}

// connection is one client.
type connection struct {
	*Server
	conn *ssh.ServerConn

	mu        sync.Mutex
	listeners map[string]net.Listener // that the client asked for
}

func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.listeners {
		_ = l.Close() // the client is gone
	}
	_ = c.conn.Close()
}

func (c *connection) serveChannel(channel ssh.NewChannel) {
	switch kind := channel.ChannelType(); kind {
	case "session":
		c.session(channel)
	case "direct-tcpip":
		c.directTCP(channel)
	case "direct-streamlocal@openssh.com":
		c.directUnix(channel)
	default:
		_ = channel.Reject(ssh.UnknownChannelType, "lkup's init knows no "+kind)
	}
}

// plainProcesses are os/exec's own.
type plainProcesses struct{}

func (plainProcesses) Start(c *exec.Cmd) error { return c.Start() }
func (plainProcesses) Wait(c *exec.Cmd) error  { return c.Wait() }
