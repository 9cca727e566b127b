package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

const (
	// serverLook is how often it is looked whether a server is up.
	serverLook = 300 * time.Millisecond
	// serverGrace is how long a server has to end before it is killed.
	serverGrace = 5 * time.Second
	// patienceWithPort is how long the expected port is waited for once the
	// server listens on another one.
	patienceWithPort = 3 * time.Second
)

type devServeCmd struct {
	devUpFlags
	DryRun bool   `name:"dry-run" help:"Only show what was found out, and why."`
	JSON   bool   `name:"json" help:"With --dry-run: print JSON."`
	As     string `name:"as" placeholder:"KIND" help:"Of several ways to serve the project, take this one."`
	Port   int    `name:"port" short:"p" placeholder:"PORT" help:"The port of this computer; the guest's by default, if it is free."`
}

// Run serves the project until Ctrl-C.
func (c *devServeCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	all, dir, err := c.servers(w)
	if err != nil {
		return err
	}
	if c.DryRun {
		if c.JSON {
			return view.ServersJSON(call.Out, all)
		}
		return view.Servers(call.Out, call.outStyle(), all, dir)
	}
	r, conn, err := c.enter(call, w)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	listener, err := c.listen(call, w, all[0].Port)
	if err != nil {
		return err
	}
	s := &serving{
		call: call, conn: conn, line: &guestLine{call: call, reached: r}, listener: listener, work: w, server: all[0], dir: dir, path: w.env.Serve.Path,
		shares: repeatedShares(w.project.dir, w.host, r.instance.Applied.Shares),
	}
	defer s.line.hangUp()
	return s.run()
}

// servers are the ways to serve what one stands in, or else the project; the
// one to take is the first. dir is the guest's directory.
func (c *devServeCmd) servers(w *workplace) ([]devenv.Server, string, error) {
	serve := w.env.Serve
	if len(serve.Command) > 0 && c.As == "" {
		return []devenv.Server{{
			Kind: "command", Command: serve.Command, Port: serve.Port, Reloads: serve.Restart != nil && !*serve.Restart, Why: "serve block of " + string(w.env.Address),
		}}, spec.DevenvProject, nil
	}
	var all []devenv.Server
	dir, err := w.look(func(project fs.FS) bool {
		all = devenv.Servers(project)
		return len(all) > 0
	})
	if err != nil {
		return nil, "", err
	}
	if c.As != "" {
		at := slices.IndexFunc(all, func(s devenv.Server) bool { return s.Kind == c.As })
		if at < 0 {
			return nil, "", fmt.Errorf("%s is not served as %q; what it is served as shows: lkup dev serve --dry-run", w.host, c.As)
		}
		all[0], all[at] = all[at], all[0]
	}
	if len(all) == 0 {
		return nil, "", fmt.Errorf("nothing in %s says how it is served; write it into the devenv block: serve { command = [\"PROGRAM\"], port = 8000 }", w.host)
	}
	if serve.Port != 0 {
		all[0].Port = serve.Port
		all[0].Why += "; port of the serve block"
	}
	if serve.Restart != nil {
		all[0].Reloads = !*serve.Restart
	}
	return all, dir, nil
}

// look shows what one stands in to found, and then the project, until it has
// seen what it looks for. It gives the guest's directory.
func (w *workplace) look(found func(fs.FS) bool) (string, error) {
	root, err := os.OpenRoot(w.host)
	if err != nil {
		return "", fmt.Errorf("look at the project: %w", err)
	}
	defer root.Close()
	if rel, err := filepath.Rel(w.host, w.here); err == nil && filepath.IsLocal(rel) && rel != "." {
		if sub, err := fs.Sub(root.FS(), filepath.ToSlash(rel)); err == nil && found(sub) {
			return w.guestDir(), nil
		}
	}
	found(root.FS())
	return spec.DevenvProject, nil
}

// listen opens the host's port: the one that was asked for, the guest's if it is
// free, or any.
func (c *devServeCmd) listen(call *call, w *workplace, guest int) (net.Listener, error) {
	var config net.ListenConfig
	at := func(port int) (net.Listener, error) {
		return config.Listen(call.ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	port := c.Port
	if port == 0 {
		port = w.env.Serve.Host
	}
	if port != 0 {
		l, err := at(port)
		if err != nil {
			return nil, fmt.Errorf("listen on port %d of this computer: %w; choose another: --port PORT", port, err)
		}
		return l, nil
	}
	if call.Getenv("LKUP_AUTO_PORTS") == "" {
		if l, err := at(guest); err == nil {
			return l, nil
		}
	}
	free, err := newReconciler(call.Host, w.project.paths, w.project.dir, nil, nil).FreePort(call.ctx)
	if err != nil {
		return nil, err
	}
	return at(free)
}

// serving is a server in a guest, and its port here.
type serving struct {
	call     *call
	conn     *ssh.Conn
	line     *guestLine
	listener net.Listener
	work     *workplace
	server   devenv.Server
	dir      string // the guest's
	path     string // of a URL that answers; empty for any answer of "/"
	shares   []followedShare

	port  atomic.Int64 // of the guest, once it answers; 0 while there is none
	shown bool
}

// run starts the server, and starts it again when files change, until Ctrl-C.
// A server that ends by itself is waited with for the next change, if there is
// one to wait for.
func (s *serving) run() error {
	ctx, cancel := context.WithCancel(s.call.ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	context.AfterFunc(ctx, func() { _ = s.listener.Close() }) // which ends accept
	group.Go(func() { s.accept(ctx, &group) })
	changes, ready := make(chan []string, 1), make(chan struct{})
	group.Go(func() { s.follow(ctx, changes, ready) })
	<-ready
	fmt.Fprintf(s.call.Err, "Serving %s: %s, in %s of %s.\n", view.Clean(s.work.host), view.Clean(strings.Join(s.server.Command, " ")), view.Clean(s.dir), s.work.env.Address)
	for {
		status, changed, err := s.once(ctx, changes)
		if err == nil && changed == nil {
			err = s.lacked(ctx, status)
		}
		switch {
		case s.call.ctx.Err() != nil:
			return nil // Ctrl-C is how one leaves
		case err != nil:
			return err
		case changed == nil && s.server.Reloads:
			return s.ended(status)
		case changed == nil:
			fmt.Fprintf(s.call.Err, "The server ended with exit status %d. It is started again when a file changes.\n", status)
			select {
			case <-ctx.Done():
				return nil
			case changed = <-changes:
			}
		}
		fmt.Fprintf(s.call.Err, "%s changed: starting the server again.\n", view.Clean(some(changed)))
	}
}

// lacked is an error if the server ended for want of a tool. No change of a file
// brings that.
func (s *serving) lacked(ctx context.Context, status int) error {
	if lacked := s.work.lacked(ctx, s.conn, s.dir, s.server.Command, status); lacked != "" {
		return errors.New(lacked)
	}
	return nil
}

func (s *serving) ended(status int) error {
	if status == 0 {
		return nil
	}
	return fmt.Errorf("the server ended with exit status %d", status)
}

// some names a few files.
func some(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

// result is how a server ended.
type result struct {
	status int
	err    error
}

// once runs the server until it ends, files change, or ctx ends.
func (s *serving) once(ctx context.Context, changes <-chan []string) (status int, changed []string, err error) {
	defer s.port.Store(0)
	before := map[int]bool{}
	if _, tables, err := s.conn.Run(ctx, devenv.Listening()); err == nil {
		before = devenv.Listeners(string(tables))
	}
	begun := s.call.Now()
	signals := make(chan string, 2)
	run, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	over := make(chan result, 1)
	env := append([]string{"PORT=" + strconv.Itoa(s.server.Port)}, s.server.Env...)
	out, errOut := cleaned(s.call.Out), cleaned(s.call.Err)
	command := ssh.Command{
		Args: devenv.In(s.dir, devenv.With(env, s.server.Command)), Stdout: out, Stderr: errOut, Signals: signals,
	}
	go func() {
		status, err := s.conn.Exec(run, command)
		over <- result{status, errors.Join(err, out.Flush(), errOut.Flush())}
	}()
	look, found := context.WithCancel(ctx)
	defer found()
	up := make(chan int, 1)
	go s.await(look, before, up)
	for {
		select {
		case port := <-up:
			s.port.Store(int64(port))
			s.isUp(port, s.call.Now().Sub(begun))
			continue
		case r := <-over:
			return r.status, nil, r.err
		case changed = <-changes:
		case <-ctx.Done():
		}
		break
	}
	found()
	s.end(signals, over, kill)
	return 0, changed, nil
}

// cleaned shows what a server says line by line, without what would bend the
// terminal. It keeps no more than a line, and that has a limit.
func cleaned(w io.Writer) *view.Prefixer { return view.Prefixed(w, view.Style{}, []string{""})[0] }

// end ends a server, by force if it does not end within its grace.
func (s *serving) end(signals chan<- string, over <-chan result, kill context.CancelFunc) {
	for _, signal := range []string{"TERM", "KILL"} {
		signals <- signal
		limit := time.NewTimer(serverGrace)
		select {
		case <-over:
			limit.Stop()
			return
		case <-limit.C:
		}
	}
	kill()
	<-over
}

// await sends the guest's port once the server answers there.
func (s *serving) await(ctx context.Context, before map[int]bool, up chan<- int) {
	var other time.Time
	rest := serverLook
	for {
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		begun := s.call.Now()
		_, tables, err := s.conn.Run(ctx, devenv.Listening())
		rest = max(serverLook, 4*s.call.Now().Sub(begun)) // a slow guest is not to be slowed down
		if err != nil {
			continue
		}
		port := devenv.Chosen(before, devenv.Listeners(string(tables)), s.server.Port)
		if port != s.server.Port && other.IsZero() {
			other = s.call.Now()
		}
		if port == 0 || port != s.server.Port && s.call.Now().Sub(other) < patienceWithPort {
			continue
		}
		if s.answers(ctx, port) {
			up <- port
			return
		}
	}
}

// answers asks the server for the page that says that it is up.
func (s *serving) answers(ctx context.Context, port int) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.conn.Dial(ctx, "tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	path := s.path
	if path == "" {
		path = "/"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:"+strconv.Itoa(port)+path, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // its beginning was enough
	return s.path == "" || response.StatusCode < 400
}

func (s *serving) isUp(port int, took time.Duration) {
	if port != s.server.Port {
		fmt.Fprintf(s.call.Err, "It listens on %d, where %d was expected.\n", port, s.server.Port)
	}
	if s.shown {
		fmt.Fprintf(s.call.Err, "Up again after %.1fs.\n", took.Seconds())
		return
	}
	s.shown = true
	fmt.Fprintf(s.call.Out, "http://%s%s\n", s.listener.Addr(), s.path)
	fmt.Fprintf(s.call.Err, "Up after %.1fs. Ctrl-C ends it; the machine stays.\n", took.Seconds())
}

// accept hands connections to the server. Those that come while there is none
// wait for the next.
func (s *serving) accept(ctx context.Context, group *sync.WaitGroup) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		group.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			tick := time.NewTicker(serverLook)
			defer tick.Stop()
			for s.port.Load() == 0 {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
			if err := s.line.forward(conn, net.JoinHostPort("localhost", strconv.FormatInt(s.port.Load(), 10))); err != nil {
				_ = conn.Close() // the server is gone again
			}
		})
	}
}
