package agent

import (
	"bytes"
	"io"
	"slices"
)

// hiding replaces a text in a stream, also where it comes in pieces. What may be
// the beginning of the text is held back until more comes.
type hiding struct {
	to        io.Writer
	old, with []byte
	held      []byte
}

func newHiding(to io.Writer, old, with string) *hiding {
	return &hiding{to: to, old: []byte(old), with: []byte(with)}
}

func (h *hiding) Write(p []byte) (int, error) {
	all := slices.Concat(h.held, p)
	if len(h.old) > 0 {
		all = bytes.ReplaceAll(all, h.old, h.with)
	}
	keep := beginning(all, h.old)
	h.held = bytes.Clone(all[len(all)-keep:])
	if len(all) == keep {
		return len(p), nil
	}
	_, err := h.to.Write(all[:len(all)-keep])
	return len(p), err
}

// beginning is how much at the end of content may begin old.
func beginning(content, old []byte) int {
	for n := min(len(content), len(old)-1); n > 0; n-- {
		if bytes.HasSuffix(content, old[:n]) {
			return n
		}
	}
	return 0
}

// Flush writes what was held back.
func (h *hiding) Flush() error {
	_, err := h.to.Write(h.held)
	h.held = nil
	return err
}
