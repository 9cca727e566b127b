package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/lkup/lkup/internal/dockerapi"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

// guestDocker is the socket of a guest's Docker Engine.
const guestDocker = "/var/run/docker.sock"

const (
	// dockerRetry is how soon an engine is asked again that did not answer, and
	// how soon a port is tried again that somebody held.
	dockerRetry = 2 * time.Second
	// dockerLook is how often ports are listed though no event came, so that a
	// connection that died in silence is noticed, and dockerAnswer is how long
	// that may take.
	dockerLook, dockerAnswer = 15 * time.Second, time.Minute
)

// hasDocker reports whether an instance's Docker Engine is to be on this host.
func hasDocker(i state.Instance) bool {
	return i.Applied.Docker && i.Applied.Running && i.Created && !i.Halted
}

// dockers keep the Docker Engines of a stack's guests on this host: the socket
// of each, and the ports of its containers.
type dockers struct {
	call  *call
	paths layout.Stack
	say   func(spec.Address, string) // may be called concurrently with an address
	all   map[spec.Address]*dockerKeeper
}

// follow keeps those and only those that it should. Those that others kept
// before are gone when it returns.
func (d *dockers) follow(ctx context.Context, known state.State) {
	for a, one := range d.all {
		if i := known.Instances[a]; !hasDocker(i) || i.ID != one.instance.ID || i.Proven != one.instance.Proven || !reflect.DeepEqual(i.Applied.Ports, one.instance.Applied.Ports) {
			one.end()
			delete(d.all, a)
		}
	}
	for _, a := range sortedKeys(known.Instances) {
		i := known.Instances[a]
		if d.all[a] != nil || !hasDocker(i) || i.Proven.PID == 0 {
			continue
		}
		if r, err := pick(d.call.Host, d.paths, known, string(a)); err == nil {
			d.all[a] = d.start(ctx, r)
		}
	}
}

func (d *dockers) close() {
	for _, one := range d.all {
		one.end()
	}
}

func (d *dockers) start(ctx context.Context, r reached) *dockerKeeper {
	ctx, cancel := context.WithCancel(ctx)
	own := *d.call
	own.ctx = ctx
	k := &dockerKeeper{
		instance: r.instance, call: &own, line: &guestLine{call: &own, reached: r}, paths: d.paths, tell: d.say,
		cancel: cancel, over: make(chan struct{}), forwards: map[string]*dockerForward{},
	}
	k.engine = dockerapi.New(k.dial)
	go func() { // until end
		defer close(k.over)
		k.run(ctx)
	}()
	return k
}

// dockerKeeper keeps one engine for one run of its machine.
type dockerKeeper struct {
	instance state.Instance
	call     *call // whose ctx ends with the keeper
	line     *guestLine
	paths    layout.Stack
	engine   *dockerapi.Client
	tell     func(spec.Address, string)

	cancel context.CancelFunc
	over   chan struct{}
	group  sync.WaitGroup // of all that it started

	forwards map[string]*dockerForward // by the host's address
	record   []view.DockerPort         // as it was written
	said     string
}

// end takes everything of the engine off this host.
func (k *dockerKeeper) end() {
	k.cancel()
	<-k.over
}

func (k *dockerKeeper) dial(ctx context.Context) (net.Conn, error) {
	return k.line.open(ctx, guestDocker)
}

func (k *dockerKeeper) run(ctx context.Context) {
	defer k.group.Wait()
	defer k.line.hangUp()
	defer k.takeOff()
	listener, err := listenPrivate(k.paths.Docker(string(k.instance.Address)))
	if err != nil {
		k.say("the socket of its Docker Engine cannot be here: " + err.Error())
		return
	}
	defer listener.Close()
	k.group.Go(func() { k.accept(listener, guestDocker) })
	for ctx.Err() == nil {
		if err := k.follow(ctx); ctx.Err() == nil {
			k.say("its Docker Engine does not answer: " + err.Error())
			pause(ctx, dockerRetry)
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// listenPrivate opens a socket that is this user's alone. What lies there is of
// a process that is gone.
func listenPrivate(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, 0o600)
}

// accept hands connections on until the listener is closed.
func (k *dockerKeeper) accept(l net.Listener, guest string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		k.group.Go(func() {
			if err := k.line.forward(conn, guest); err != nil {
				_ = conn.Close() // there is nobody to talk to, which its own client says
			}
		})
	}
}

// follow has this host have the ports that the engine's containers publish,
// until the engine or ctx ends.
func (k *dockerKeeper) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	signal := func() {
		select {
		case changed <- struct{}{}:
		default: // it is known that something has changed
		}
	}
	k.group.Go(func() { ended <- k.engine.Follow(ctx, signal, signal) })
	again := time.NewTimer(dockerLook)
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-changed:
		case <-again.C:
		}
		rest := dockerLook
		if err := k.look(ctx); err != nil {
			return err
		}
		for _, p := range k.record {
			if p.Problem != "" {
				rest = dockerRetry
			}
		}
		again.Reset(rest)
	}
}

// look lists the ports once.
func (k *dockerKeeper) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dockerAnswer)
	defer cancel()
	published, err := k.engine.Published(ctx)
	if err != nil {
		if ctx.Err() != nil {
			k.line.hangUp() // it is made anew
		}
		return err
	}
	k.said = ""
	k.put(k.forward(published))
	return nil
}

// say writes what is new into the log.
func (k *dockerKeeper) say(text string) {
	if text != k.said {
		k.said = text
		k.tell(k.instance.Address, text)
	}
}

// put lets others read what became of the ports.
func (k *dockerKeeper) put(now []view.DockerPort) {
	if k.record != nil && reflect.DeepEqual(now, k.record) {
		return
	}
	content, err := json.Marshal(now)
	if err == nil {
		err = state.WriteFile(k.paths.DockerPorts(string(k.instance.Address)), content, 0o600)
	}
	if err != nil {
		k.say(err.Error())
		return // it is tried again
	}
	for _, p := range now {
		if p.Problem != "" {
			k.say(p.Sentence())
		}
	}
	k.record = now
}

// takeOff takes the ports off this host.
func (k *dockerKeeper) takeOff() {
	for _, f := range k.forwards {
		_ = f.listener.Close()
	}
	_ = os.Remove(k.paths.DockerPorts(string(k.instance.Address))) // it may never have been there
}

// readDockerPorts gives what became of the ports of an engine's containers; ok
// is false while nobody keeps them.
func readDockerPorts(paths layout.Stack, a spec.Address) (all []view.DockerPort, ok bool, err error) {
	content, err := os.ReadFile(paths.DockerPorts(string(a)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &all)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the ports of %s's containers: %w", a, err)
	}
	return all, true, nil
}
