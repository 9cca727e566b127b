package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
)

type logsCmd struct {
	dirFlag
	VMs    []string     `arg:"" optional:"" name:"vm" help:"Machines; all of them by default."`
	Follow bool         `short:"f" help:"Go on as the guests write."`
	Since  durationFlag `name:"since" placeholder:"DURATION" help:"Leave out what is older, such as 10m."`
	Tail   int          `short:"n" name:"tail" default:"-1" placeholder:"N" help:"Show the last N lines of each machine."`
}

// followEvery is how often a log that is being followed is read.
const followEvery = 100 * time.Millisecond

func (c *logsCmd) Run(call *call) error {
	machines, err := several(call.Host, c.dirFlag, c.VMs)
	if err != nil {
		return err
	}
	var oldest time.Time
	if c.Since.Duration > 0 {
		oldest = call.Now().Add(-c.Since.Duration)
	}
	names := make([]string, len(machines))
	for i, m := range machines {
		names[i] = m.instance.Applied.Name
	}
	writers := view.Prefixed(call.Out, call.outStyle(), names)
	group, ctx := errgroup.WithContext(call.ctx)
	if !c.Follow {
		group.SetLimit(1) // one machine's lines after another's
	}
	for i, m := range machines {
		group.Go(func() error {
			log := consoleLog{path: filepath.Join(m.machine.Dir, drivers.ConsoleLog), oldest: oldest, tail: c.Tail}
			return log.copyTo(ctx, writers[i], c.Follow)
		})
	}
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil // Ctrl-C is how one leaves
	}
	for _, w := range writers {
		err = errors.Join(err, w.Flush())
	}
	return err
}

// consoleLog is what a guest wrote since it was created.
type consoleLog struct {
	path   string
	oldest time.Time // lines before are left out; zero for none
	tail   int       // lines to show of what is there; negative for all
}

// copyTo writes whole lines to w, and with follow goes on until ctx ends.
func (l consoleLog) copyTo(ctx context.Context, w io.Writer, follow bool) error {
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the console's log: %w", err)
	}
	defer f.Close()
	lines := bufio.NewReader(f)
	first, rest, err := l.existing(lines)
	if err != nil {
		return err
	}
	for _, line := range first {
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	if !follow {
		if rest != "" {
			_, err = io.WriteString(w, rest+"\n")
		}
		return err
	}
	return followLines(ctx, lines, rest, w)
}

// existing reads the lines that are there and are wanted, and the beginning of
// one that the guest has not ended.
func (l consoleLog) existing(lines *bufio.Reader) (wanted []string, rest string, err error) {
	recent := l.oldest.IsZero()
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			rest = line
			break
		}
		if err != nil {
			return nil, "", err
		}
		if at, stamped := lineTime(line); stamped {
			recent = !at.Before(l.oldest)
		}
		if recent {
			wanted = append(wanted, line)
		}
	}
	if l.tail >= 0 && len(wanted) > l.tail {
		wanted = wanted[len(wanted)-l.tail:]
	}
	return wanted, rest, nil
}

// lineTime reads the time that lkup or its init put before a line. Lines
// without one are as old as the last that has one.
func lineTime(line string) (time.Time, bool) {
	stamp, _, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	return at, err == nil
}

func followLines(ctx context.Context, lines *bufio.Reader, rest string, w io.Writer) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for over := false; ; {
		more, err := lines.ReadString('\n')
		rest += more
		switch {
		case err == nil:
			if _, err := io.WriteString(w, rest); err != nil {
				return err
			}
			rest = ""
			continue
		case err != io.EOF:
			return err
		}
		if over {
			_, err := io.WriteString(w, rest)
			return errors.Join(err, ctx.Err())
		}
		select {
		case <-ctx.Done():
			over = true // what was written until now is shown
		case <-tick.C:
		}
	}
}
