package view

import (
	"bytes"
	"io"
	"sync"
)

// Prefixer writes one guest's lines to a writer that several guests share,
// each line behind the guest's name. Lines of different guests do not mix; one
// that is not ended yet waits for its end, or for Flush. What the guest wrote
// is cleaned.
//
// Different Prefixers may be used at the same time, one only by one goroutine.
type Prefixer struct {
	shared *sharedWriter
	prefix string
	rest   []byte
}

type sharedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

// Prefixed gives a writer for each name. With only one, lines get no prefix.
func Prefixed(w io.Writer, style Style, names []string) []*Prefixer {
	shared := &sharedWriter{w: w}
	width := 0
	for _, name := range names {
		width = max(width, columns(name))
	}
	colors := []paint{cyan, yellow, green, violet, blue, red}
	all := make([]*Prefixer, len(names))
	for i, name := range names {
		all[i] = &Prefixer{shared: shared}
		if len(names) > 1 {
			all[i].prefix = style.paint(colors[i%len(colors)], pad(Clean(name), width)+" |") + " "
		}
	}
	return all
}

// longestLine bounds what is kept of a line that does not end.
const longestLine = 64 << 10

// Write takes any part of the guest's output.
func (p *Prefixer) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	end := bytes.LastIndexByte(p.rest, '\n') + 1
	if end == 0 && len(p.rest) > longestLine {
		return len(b), p.Flush()
	}
	if end == 0 {
		return len(b), nil
	}
	whole := p.rest[:end]
	err := p.lines(whole)
	p.rest = append(p.rest[:0], p.rest[end:]...)
	return len(b), err
}

// Flush writes a line that was not ended.
func (p *Prefixer) Flush() error {
	if len(p.rest) == 0 {
		return nil
	}
	p.rest = append(p.rest, '\n')
	err := p.lines(p.rest)
	p.rest = nil
	return err
}

func (p *Prefixer) lines(whole []byte) error {
	var out bytes.Buffer
	for line := range bytes.Lines(whole) {
		out.WriteString(p.prefix)
		out.WriteString(Clean(string(line)))
	}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	_, err := p.shared.w.Write(out.Bytes())
	return err
}
