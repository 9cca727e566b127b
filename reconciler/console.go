package reconciler

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lkup/lkup/drivers"
)

// startNote ends the line that lkup writes into the console's log before each start.
const startNote = "lkup: started"

// consoleLimit is how much of one start's console is kept for messages and
// probes, in bytes. A guest may write without end.
const consoleLimit = 1 << 20

// noteStart writes into the console's log that a new start begins here.
func noteStart(dir string, now time.Time) error {
	f, err := os.OpenFile(filepath.Join(dir, drivers.ConsoleLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the console's log: %w", err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %s\n", now.UTC().Format(time.RFC3339Nano), startNote); err != nil {
		return fmt.Errorf("write the console's log: %w", err)
	}
	return f.Close()
}

// console follows what a guest has written since its last start.
type console struct {
	path   string
	offset int64
	begun  bool
	rest   []byte   // a line without its end
	lines  []string // whole lines since the start, oldest dropped first
	size   int
}

func newConsole(dir string) *console {
	return &console{path: filepath.Join(dir, drivers.ConsoleLog)}
}

// read takes in what is new and returns the whole lines among it.
func (c *console) read() ([]string, error) {
	f, err := os.Open(c.path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !c.begun {
		if c.offset, err = lastStart(f); err != nil {
			return nil, err
		}
		c.begun = true
	}
	if _, err := f.Seek(c.offset, io.SeekStart); err != nil {
		return nil, err
	}
	fresh, err := io.ReadAll(io.LimitReader(f, consoleLimit))
	if err != nil {
		return nil, err
	}
	c.offset += int64(len(fresh))
	return c.take(fresh), nil
}

func (c *console) take(fresh []byte) []string {
	c.rest = append(c.rest, fresh...)
	var whole []string
	for {
		line, rest, found := bytes.Cut(c.rest, []byte("\n"))
		if !found {
			break
		}
		whole = append(whole, strings.TrimRight(string(line), "\r"))
		c.rest = rest
	}
	if len(c.rest) > consoleLimit {
		c.rest = nil
	}
	for _, line := range whole {
		c.lines, c.size = append(c.lines, line), c.size+len(line)
	}
	for c.size > consoleLimit {
		c.size -= len(c.lines[0])
		c.lines = c.lines[1:]
	}
	return whole
}

// last gives the last n lines, one without its end included.
func (c *console) last(n int) []string {
	lines := c.lines
	if rest := strings.TrimRight(string(c.rest), "\r"); rest != "" {
		lines = append(lines[:len(lines):len(lines)], rest)
	}
	return lines[max(0, len(lines)-n):]
}

// lastStart finds the end of the last line that notes a start, or the log's
// beginning if it is too far back.
func lastStart(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	from := max(0, info.Size()-consoleLimit)
	content := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(content, from); err != nil && err != io.EOF {
		return 0, err
	}
	note := []byte(" " + startNote + "\n")
	if at := bytes.LastIndex(content, note); at >= 0 {
		return from + int64(at+len(note)), nil
	}
	return from, nil
}
