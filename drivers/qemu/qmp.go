package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
)

// monitor is a connection to QEMU's machine protocol, as docs/interop/qmp-spec
// has it: JSON, one message a line. It is for one goroutine.
type monitor struct {
	conn  *net.UnixConn
	lines *bufio.Scanner
	// unwatch ends the watch over the context.
	unwatch func() bool
}

// dialMonitor connects and greets. QEMU serves one monitor connection at a
// time, so it waits for another to go. When ctx ends, so does all waiting.
func dialMonitor(ctx context.Context, path string) (*monitor, error) {
	conn, err := dialUnix(ctx, path)
	if err != nil {
		return nil, err
	}
	q := &monitor{conn: conn, lines: bufio.NewScanner(conn)}
	q.lines.Buffer(nil, 1<<20)
	q.unwatch = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) }) // it is closed, or this cannot go wrong
	if !q.lines.Scan() {                                                            // the greeting
		err = q.ended()
	}
	if err == nil {
		_, err = q.do("qmp_capabilities", nil)
	}
	if err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

func (q *monitor) ended() error {
	if err := q.lines.Err(); err != nil {
		return err
	}
	return fmt.Errorf("QEMU closed its monitor")
}

func (q *monitor) close() {
	q.unwatch()
	_ = q.conn.Close() // all that was to be said was answered, or the first error says more
}

// do carries out one command. Events that come in between are passed over.
func (q *monitor) do(command string, arguments any) (json.RawMessage, error) {
	return q.send(command, arguments, nil)
}

// send is do with a file of which QEMU gets a descriptor; nil for none.
func (q *monitor) send(command string, arguments any, file *os.File) (json.RawMessage, error) {
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return nil, err
	}
	var rights []byte
	if file != nil {
		rights = syscall.UnixRights(int(file.Fd()))
	}
	if _, _, err := q.conn.WriteMsgUnix(append(request, '\n'), rights, nil); err != nil {
		return nil, err
	}
	for q.lines.Scan() {
		var reply struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(q.lines.Bytes(), &reply); err != nil {
			return nil, fmt.Errorf("QEMU's monitor said something unknown: %w", err)
		}
		switch {
		case reply.Error != nil:
			return nil, fmt.Errorf("%s: %s", command, reply.Error.Desc)
		case reply.Return != nil:
			return reply.Return, nil
		}
	}
	return nil, q.ended()
}

// monitorLimit bounds one exchange with a monitor that should answer at once.
const monitorLimit = 2 * time.Second

// ask carries out one command on a connection of its own.
func ask(ctx context.Context, path, command string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, monitorLimit)
	defer cancel()
	return askLong(ctx, path, command)
}

// askLong is for a monitor that may take until ctx ends.
func askLong(ctx context.Context, path, command string) (json.RawMessage, error) {
	q, err := dialMonitor(ctx, path)
	if err != nil {
		return nil, err
	}
	defer q.close()
	return q.do(command, nil)
}

// dialUnix waits, until ctx ends, where too many others wait already: QEMU's
// sockets have room for two.
func dialUnix(ctx context.Context, path string) (*net.UnixConn, error) {
	var dialer net.Dialer
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			return conn.(*net.UnixConn), nil // what the network "unix" gives
		}
		if !crowded(err) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// crowded reports whether a connection was refused because too many wait.
// macOS does not tell that from a socket on which nobody listens.
func crowded(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || runtime.GOOS == "darwin" && errors.Is(err, syscall.ECONNREFUSED)
}
