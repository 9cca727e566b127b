//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// output is where a container writes: a pipe that fills its log and the
// console until nobody can write to it any more.
type output struct {
	write *os.File
	ended chan struct{} // closed after the last line

	mu   sync.Mutex
	line string // the last one
}

func (m *machine) newOutput(name string) (*output, error) {
	log, err := os.OpenFile("/var/log/"+name+".log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	o := &output{write: write, ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		m.copyLines(name, o, read, log)
		_, _ = read.Close(), log.Close()
	}()
	return o, nil
}

// closeWrite closes this process's own end, so that the output ends with the
// container.
func (o *output) closeWrite() { _ = o.write.Close() }

// last is the last line that was written. Processes that outlive their
// container may hold the pipe, so its end is awaited for a moment only.
func (o *output) last() string {
	select {
	case <-o.ended:
	case <-time.After(time.Second):
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.line
}

// reason is err with what runc said of it.
func (o *output) reason(err error) error {
	line := o.last()
	if message, found := runcMessage(line); found {
		return errors.New(message)
	}
	return fmt.Errorf("%w: %s", err, line)
}

// runcMessage is the message of a line of runc's log: time="..." level=error
// msg="runc run failed: ...".
func runcMessage(line string) (string, bool) {
	_, rest, found := strings.Cut(line, " level=error msg=")
	if !found {
		return "", false
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "", false
	}
	message, err := strconv.Unquote(quoted)
	return message, err == nil
}

func (m *machine) copyLines(name string, o *output, from io.Reader, log io.Writer) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			_, _ = io.WriteString(log, line)
			line = strings.TrimRight(line, "\r\n")
			o.mu.Lock()
			o.line = line
			o.mu.Unlock()
			m.write(time.Now().UTC().Format(time.RFC3339Nano) + " " + name + ": " + line)
		}
		if err != nil {
			return
		}
	}
}
