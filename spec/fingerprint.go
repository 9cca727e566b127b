package spec

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"slices"
)

// Fingerprint is an Input reduced to what it takes to see later that it
// changed, and where. It gives nothing away of an input that is sensitive.
type Fingerprint struct {
	Digest string   `json:"digest"`          // two equal ones are one content
	Text   string   `json:"text,omitempty"`  // a short value as JSON, for people; empty if long or sensitive
	Lines  []uint32 `json:"lines,omitempty"` // a number for each line of a file
	Origin Pos      `json:"origin,omitzero"`
	From   []string `json:"from,omitempty"` // as in Input
}

// Equal reports whether two fingerprints are of one content.
func (f Fingerprint) Equal(other Fingerprint) bool {
	return f.Digest == other.Digest && f.Text == other.Text && f.Origin == other.Origin &&
		slices.Equal(f.Lines, other.Lines) && slices.Equal(f.From, other.From)
}

const (
	longestText = 60      // bytes
	mostLines   = 4000    // of a file whose lines are told apart
	mostContent = 1 << 20 // bytes of such a file
)

// Fingerprint reduces an input. The salt is a stack's own, so that nobody can
// guess a sensitive value by trying.
func (i Input) Fingerprint(salt []byte) Fingerprint {
	sum := hmac.New(sha256.New, salt)
	sum.Write(i.Content) // a hash's Write has no errors
	f := Fingerprint{Digest: hex.EncodeToString(sum.Sum(nil)[:16]), Origin: i.Origin, From: i.From}
	switch {
	case i.Sensitive:
	case i.File:
		f.Lines = lineNumbers(i.Content)
	case len(i.Content) <= longestText:
		f.Text = string(i.Content)
	}
	return f
}

// lineNumbers gives equal lines equal numbers, by FNV-1a. Files too long for a
// person to look at have none.
func lineNumbers(content []byte) []uint32 {
	if len(content) > mostContent || bytes.Count(content, []byte("\n")) > mostLines {
		return nil
	}
	var numbers []uint32
	for line := range bytes.Lines(content) {
		h := fnv.New32a()
		h.Write(line)
		numbers = append(numbers, h.Sum32())
	}
	return numbers
}
