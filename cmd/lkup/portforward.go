package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
)

type portForwardCmd struct {
	dirFlag
	Address string   `name:"address" default:"127.0.0.1" placeholder:"ADDRESS" help:"The address of this computer to listen on, where a port names none."`
	VM      string   `arg:"" predictor:"vm" help:"The machine: web, web-blue or vm.web[\"blue\"]."`
	Ports   []string `arg:"" name:"ports" help:"[[ADDRESS:]HOST:]GUEST: 80 is the same port on both sides, 8080:80 two, :80 any free one here. The guest's may be NAME:PORT: 8080:db:5432."`
}

// Run forwards until Ctrl-C. A guest that was restarted meanwhile is reached
// again by the next connection.
func (c *portForwardCmd) Run(call *call) error {
	var wanted []forwarding
	for _, text := range c.Ports {
		f, err := parseForwarding(text, c.Address)
		if err != nil {
			return err
		}
		wanted = append(wanted, f)
	}
	r, err := reach(call.Host, c.dirFlag, c.VM)
	if err != nil {
		return err
	}
	line := &guestLine{call: call, reached: r}
	defer line.hangUp()
	if _, err := line.connected(); err != nil { // now rather than at the first connection
		return err
	}
	listeners, err := listenAll(call.ctx, wanted)
	if err != nil {
		return err
	}
	for i, l := range listeners {
		fmt.Fprintf(call.Out, "%s -> %s %s\n", l.Addr(), r.instance.Address, wanted[i].guest)
	}
	fmt.Fprintln(call.Err, "Forwarding. Press Ctrl-C to end it.")
	stop := context.AfterFunc(call.ctx, func() {
		for _, l := range listeners {
			_ = l.Close() // nothing else listens through it
		}
		line.hangUp()
	})
	defer stop()
	var group sync.WaitGroup
	for i, l := range listeners {
		group.Go(func() { line.serve(l, wanted[i].guest) })
	}
	group.Wait()
	return nil // Ctrl-C is how one leaves
}

// forwarding is a port here, and what it leads to.
type forwarding struct {
	host  string // ADDRESS:PORT
	guest string // as the guest sees it
}

// parseForwarding reads GUEST, HOST:GUEST, ADDRESS:HOST:GUEST, and each with a
// name before the guest's port.
func parseForwarding(text, address string) (forwarding, error) {
	wrong := usageError{fmt.Sprintf("%q is no port to forward; write GUEST, HOST:GUEST or ADDRESS:HOST:GUEST, such as 8080:80", text)}
	rest, inBrackets := text, ""
	if strings.HasPrefix(text, "[") { // an IPv6 address
		end := strings.Index(text, "]:")
		if end < 0 {
			return forwarding{}, wrong
		}
		inBrackets, rest = text[1:end], text[end+2:]
	}
	parts := strings.Split(rest, ":")
	if inBrackets != "" {
		parts = append([]string{inBrackets}, parts...)
	}
	at, name := len(parts)-1, "127.0.0.1"
	guest, ok := portNumber(parts[at], 1)
	if !ok {
		return forwarding{}, wrong
	}
	at--
	host := guest
	if at >= 1 { // is it HOST:NAME:GUEST?
		if _, number := portNumber(parts[at], 0); !number && parts[at] != "" {
			name, at = parts[at], at-1
		}
	}
	if at >= 0 {
		if host, ok = 0, parts[at] == ""; !ok {
			host, ok = portNumber(parts[at], 0)
		}
		at--
	}
	if at == 0 && ok {
		address, at = parts[0], -1
	}
	if !ok || at >= 0 {
		return forwarding{}, wrong
	}
	return forwarding{
		host:  net.JoinHostPort(address, strconv.Itoa(host)),
		guest: net.JoinHostPort(name, strconv.Itoa(guest)),
	}, nil
}

func portNumber(text string, least int) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= least && n <= 65535
}

// listenAll listens on every port, or on none.
func listenAll(ctx context.Context, wanted []forwarding) ([]net.Listener, error) {
	var all []net.Listener
	for _, f := range wanted {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", f.host)
		if err != nil {
			for _, l := range all {
				_ = l.Close() // nothing came through it
			}
			return nil, fmt.Errorf("listen on %s: %w; choose another host port, or :GUEST for a free one", f.host, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// guestLine is the connection that all forwarded ones go through. It is safe
// for concurrent use.
type guestLine struct {
	call    *call
	reached reached

	mu   sync.Mutex // guards conn
	conn *ssh.Conn
}

func (g *guestLine) connected() (*ssh.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn != nil {
		return g.conn, nil
	}
	var err error
	g.conn, err = dial(g.call, g.reached)
	return g.conn, err
}

// lost forgets a connection, so that the next one is made anew.
func (g *guestLine) lost(conn *ssh.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn == conn {
		_ = conn.Close() // it is broken
		g.conn = nil
	}
}

func (g *guestLine) hangUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn != nil {
		_ = g.conn.Close() // what runs over it shall end
	}
}

// serve hands the connections of one port to the guest.
func (g *guestLine) serve(l net.Listener, guest string) {
	var group sync.WaitGroup
	defer group.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		group.Go(func() {
			if err := g.forward(conn, guest); err != nil && g.call.ctx.Err() == nil {
				_ = conn.Close() // there is nobody to talk to
				fmt.Fprintln(g.call.Err, view.Clean(err.Error()))
			}
		})
	}
}

// forward joins a connection with one that the guest opens.
func (g *guestLine) forward(here net.Conn, guest string) error {
	there, err := g.open(g.call.ctx, guest)
	if err != nil {
		return err
	}
	ssh.Join(here, there)
	return nil
}

// open has the guest connect to ADDRESS:PORT, or to the path of a socket. A
// line that is broken is tried once more.
func (g *guestLine) open(ctx context.Context, guest string) (net.Conn, error) {
	for try := 0; ; try++ {
		conn, err := g.connected()
		if err != nil {
			return nil, err
		}
		network := "tcp"
		if strings.HasPrefix(guest, "/") {
			network = "unix"
		}
		there, err := conn.Dial(ctx, network, guest)
		if err == nil {
			return there, nil
		}
		if ssh.Refused(err) || try > 0 || ctx.Err() != nil {
			return nil, fmt.Errorf("%s refuses %s: %w", g.reached.instance.Address, guest, err)
		}
		g.lost(conn)
	}
}
