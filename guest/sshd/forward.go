package sshd

import (
	"io"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// The messages are RFC 4254's, section 7, and OpenSSH's PROTOCOL file's,
// section 2.4.
type (
	directTCP struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	directUnix struct {
		Path     string
		Reserved string
		Unused   uint32
	}
	forwardTCP struct {
		Host string
		Port uint32
	}
	forwardTCPReply struct{ Port uint32 }
	forwardedTCP    struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	forwardUnix   struct{ Path string }
	forwardedUnix struct {
		Path     string
		Reserved string
	}
)

func (c *connection) directTCP(channel ssh.NewChannel) {
	var m directTCP
	if err := ssh.Unmarshal(channel.ExtraData(), &m); err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	connect(channel, "tcp", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
}

func (c *connection) directUnix(channel ssh.NewChannel) {
	var m directUnix
	if err := ssh.Unmarshal(channel.ExtraData(), &m); err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	connect(channel, "unix", m.Path)
}

// connect joins a channel with a connection that the guest opens.
func connect(channel ssh.NewChannel, network, address string) {
	conn, err := net.Dial(network, address)
	if err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	accepted, requests, err := channel.Accept()
	if err != nil {
		_ = conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	join(accepted, conn)
}

// closeWriter is a stream whose one half can end before the other.
type closeWriter interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// join copies both ways until both have ended.
func join(channel ssh.Channel, conn net.Conn) {
	var group sync.WaitGroup
	group.Go(func() {
		_, _ = io.Copy(channel, conn) // an end is an end
		_ = channel.CloseWrite()
	})
	group.Go(func() {
		_, _ = io.Copy(conn, channel)
		if half, can := conn.(closeWriter); can {
			_ = half.CloseWrite()
		}
	})
	group.Wait()
	_ = channel.Close()
	_ = conn.Close()
}

// serveRequests answers requests about the connection as a whole.
func (c *connection) serveRequests(requests <-chan *ssh.Request) {
	for r := range requests {
		ok, reply := false, []byte(nil)
		switch r.Type {
		case "tcpip-forward":
			ok, reply = c.listenTCP(r.Payload)
		case "cancel-tcpip-forward":
			var m forwardTCP
			ok = ssh.Unmarshal(r.Payload, &m) == nil && c.unlisten(net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
		case "streamlocal-forward@openssh.com":
			ok = c.listenUnix(r.Payload)
		case "cancel-streamlocal-forward@openssh.com":
			var m forwardUnix
			ok = ssh.Unmarshal(r.Payload, &m) == nil && c.unlisten(m.Path)
		case "keepalive@openssh.com":
			ok = true
		}
		if r.WantReply {
			_ = r.Reply(ok, reply)
		}
	}
}

func (c *connection) listenTCP(payload []byte) (bool, []byte) {
	var m forwardTCP
	if ssh.Unmarshal(payload, &m) != nil {
		return false, nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
	if err != nil {
		c.settings.Log("forward of port %d: %v", m.Port, err)
		return false, nil
	}
	var reply []byte
	port := uint32(listener.Addr().(*net.TCPAddr).Port)
	if m.Port == 0 {
		reply = ssh.Marshal(forwardTCPReply{Port: port})
	}
	c.listen(net.JoinHostPort(m.Host, strconv.Itoa(int(port))), listener, "forwarded-tcpip", func(conn net.Conn) []byte {
		origin := forwardedTCP{Host: m.Host, Port: port}
		if from, isTCP := conn.RemoteAddr().(*net.TCPAddr); isTCP {
			origin.OriginHost, origin.OriginPort = from.IP.String(), uint32(from.Port)
		}
		return ssh.Marshal(origin)
	})
	return true, reply
}

func (c *connection) listenUnix(payload []byte) bool {
	var m forwardUnix
	if ssh.Unmarshal(payload, &m) != nil {
		return false
	}
	_ = os.Remove(m.Path) // left by an earlier session
	listener, err := net.Listen("unix", m.Path)
	if err != nil {
		c.settings.Log("forward of %s: %v", m.Path, err)
		return false
	}
	c.listen(m.Path, listener, "forwarded-streamlocal@openssh.com", func(net.Conn) []byte {
		return ssh.Marshal(forwardedUnix{Path: m.Path})
	})
	return true
}

// listen hands connections that come in to the client.
func (c *connection) listen(name string, listener net.Listener, kind string, describe func(net.Conn) []byte) {
	c.mu.Lock()
	c.listeners[name] = listener
	c.mu.Unlock()
	go func() { // ends when the listener is closed, with the connection at the latest
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			channel, requests, err := c.conn.OpenChannel(kind, describe(conn))
			if err != nil {
				_ = conn.Close()
				continue
			}
			go ssh.DiscardRequests(requests)
			go join(channel, conn)
		}
	}()
}

func (c *connection) unlisten(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	listener, found := c.listeners[name]
	delete(c.listeners, name)
	return found && listener.Close() == nil
}
