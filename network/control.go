package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/lkup/lkup/drivers"
)

// What a switch can be asked to do.
const (
	doPlug   = "plug"
	doUnplug = "unplug"
	doPorts  = "ports"
	doLook   = "look"
)

// request is what is asked over the control socket: one JSON value a
// connection, and one as the answer.
type request struct {
	Do      string  `json:"do"`
	Machine Machine `json:"machine"`
}

type answer struct {
	Error string         `json:"error,omitempty"`
	Ports []drivers.Port `json:"ports,omitempty"`
	Look  *Report        `json:"look,omitempty"`
}

// Bounds of one request.
const (
	mostRequest  = 1 << 20
	requestLimit = 10 * time.Second
)

// ErrAbsent says that no switch runs.
var ErrAbsent = errors.New("the stack's switch does not run")

// Listen opens the control socket at a path. Whoever calls it is sure that no
// other switch uses it: a socket that is there already is of a dead one.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, 0o600)
}

// Serve answers requests until the listener is closed.
func (s *Switch) Serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go s.serve(conn)
	}
}

func (s *Switch) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(requestLimit)) // it was accepted just now
	var r request
	if err := json.NewDecoder(io.LimitReader(conn, mostRequest)).Decode(&r); err != nil {
		return
	}
	_ = json.NewEncoder(conn).Encode(s.do(r)) // who asked may be gone
}

func (s *Switch) do(r request) (a answer) {
	var err error
	switch r.Do {
	case doPlug:
		err = s.Plug(r.Machine)
	case doUnplug:
		s.Unplug(r.Machine.ID)
	case doPorts:
		a.Ports = s.Ports(r.Machine.ID)
	case doLook:
		look := s.Look()
		a.Look = &look
	default:
		err = fmt.Errorf("this switch cannot %q; it is of another lkup", r.Do)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// Client asks a switch of another process. Where none runs, its methods give
// ErrAbsent.
type Client struct {
	Path string // of the control socket
}

// Plug is Switch.Plug.
func (c Client) Plug(ctx context.Context, m Machine) error {
	_, err := c.ask(ctx, request{Do: doPlug, Machine: m})
	return err
}

// Unplug is Switch.Unplug.
func (c Client) Unplug(ctx context.Context, id string) error {
	_, err := c.ask(ctx, request{Do: doUnplug, Machine: Machine{ID: id}})
	return err
}

// Ports is Switch.Ports.
func (c Client) Ports(ctx context.Context, id string) ([]drivers.Port, error) {
	a, err := c.ask(ctx, request{Do: doPorts, Machine: Machine{ID: id}})
	return a.Ports, err
}

// Look is Switch.Look.
func (c Client) Look(ctx context.Context) (Report, error) {
	a, err := c.ask(ctx, request{Do: doLook})
	if err == nil && a.Look == nil {
		err = errors.New("the switch answered something else")
	}
	if err != nil {
		return Report{}, err
	}
	return *a.Look, nil
}

func (c Client) ask(ctx context.Context, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return answer{}, ErrAbsent
	}
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) }) // it is open
	defer stop()
	var a answer
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return answer{}, err
	}
	if err := json.NewDecoder(io.LimitReader(conn, mostRequest)).Decode(&a); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			err = ErrAbsent // it ended meanwhile
		}
		return answer{}, err
	}
	if a.Error != "" {
		return answer{}, errors.New(a.Error)
	}
	return a, nil
}
