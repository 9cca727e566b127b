package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// durationFlag is a length of time with its unit: 500ms, 10s, 2m.
type durationFlag struct{ time.Duration }

// UnmarshalText reads a flag's value.
func (d *durationFlag) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is no duration; write a number and a unit, such as 30s or 2m", text)
	}
	d.Duration = parsed
	return nil
}

// readLine reads one line from a person, unless ctx ends first.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() { // ends with the process if the person never answers
		line, err := bufio.NewReader(r).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		read <- result{strings.TrimSpace(line), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-read:
		return r.line, r.err
	}
}
