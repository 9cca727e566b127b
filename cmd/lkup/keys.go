package main

import (
	"context"
	"io"
	"sync"
)

// keys is an input that one reads after another. What is typed once the first
// has ended is the next one's, though the first still waited for it: the
// operating system's read cannot be taken back.
type keys struct {
	from    io.Reader
	arrived chan typedKeys

	mu      sync.Mutex // guards the rest, and makes readers take turns
	waiting bool       // for what will arrive
	left    []byte
}

type typedKeys struct {
	text []byte
	err  error
}

func newKeys(from io.Reader) *keys { return &keys{from: from, arrived: make(chan typedKeys, 1)} }

// until is a reader that is at its end when ctx ends.
func (k *keys) until(ctx context.Context) io.Reader { return keysUntil{k, ctx} }

type keysUntil struct {
	*keys
	ctx context.Context
}

// Read waits for what is typed.
func (k keysUntil) Read(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return 0, io.EOF
	}
	if len(k.left) == 0 {
		if !k.waiting {
			k.waiting = true
			go k.wait() // ends with the process if nobody types
		}
		select {
		case <-k.ctx.Done():
			return 0, io.EOF
		case typed := <-k.arrived:
			k.waiting, k.left = false, typed.text
			if len(typed.text) == 0 {
				return 0, typed.err
			}
		}
	}
	n := copy(p, k.left)
	k.left = k.left[n:]
	return n, nil
}

func (k *keys) wait() {
	text := make([]byte, 4<<10)
	n, err := k.from.Read(text)
	k.arrived <- typedKeys{text[:n], err}
}
