package output

import (
	"bytes"
	"io"
	"slices"
)

func blank(b []byte) { copy(b, bytes.Repeat([]byte{' '}, len(b))) }

// padTo is b with zeros up to n bytes.
func padTo(b []byte, n int) []byte { return append(slices.Clip(b), make([]byte, n-len(b))...) }

// zeros writes n zero bytes.
func zeros(w io.Writer, n int64) error {
	block := make([]byte, 1<<16)
	for n > 0 {
		part := min(n, int64(len(block)))
		if _, err := w.Write(block[:part]); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// orZeros writes n zero bytes unless there was an error.
func orZeros(err error, w io.Writer, n int64) error {
	if err != nil {
		return err
	}
	return zeros(w, n)
}
