package disk

import (
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// maxDictionary is what xz -9 and zstd --long need.
const maxDictionary = 128 << 20

// packing is a way to compress a file.
type packing struct {
	name, magic string
	open        func(io.Reader) (io.ReadCloser, error)
}

var packings = []packing{
	{"gzip", "\x1f\x8b", func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{"xz", "\xfd7zXZ\x00", func(r io.Reader) (io.ReadCloser, error) {
		content, err := xz.NewReader(r, maxDictionary)
		return io.NopCloser(content), err
	}},
	{"zstd", "\x28\xb5\x2f\xfd", func(r io.Reader) (io.ReadCloser, error) {
		content, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxDictionary))
		if err != nil {
			return nil, err
		}
		return content.IOReadCloser(), nil
	}},
	{"bzip2", "BZh", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
}

// unpack writes what a packed file holds to a path. told hears how much of
// the packed file was read.
func unpack(ctx context.Context, from, to, how string, limits Limits, told func(done, total int64)) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	packed := &counted{r: file, ctx: ctx, told: func(done int64) { told(done, info.Size()) }}
	content, err := opened(how, bufio.NewReaderSize(packed, 1<<18))
	if err != nil {
		return fmt.Errorf("unpack %s: %w", how, err)
	}
	defer func() { _ = content.Close() }()
	out, err := create(to, info.Size(), limits)
	if err != nil {
		return err
	}
	if err := fill(out, content); err != nil {
		_ = out.file.Close()
		return fmt.Errorf("unpack %s: %w", how, err)
	}
	return out.close()
}

func opened(how string, r io.Reader) (io.ReadCloser, error) {
	for _, p := range packings {
		if p.name == how {
			return p.open(r)
		}
	}
	return nil, errors.New("there is no such packing")
}

func fill(out *output, r io.Reader) error {
	block := make([]byte, len(zeros))
	var at int64
	for {
		n, err := readBlock(r, block)
		if writing := out.write(block[:n], at); writing != nil {
			return writing
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it ends too early; it may be cut short")
		case err != nil:
			return err
		}
	}
}

// readBlock is io.ReadFull, but gives the reader's own error: only that tells
// a short last block from a file that is cut short.
func readBlock(r io.Reader, block []byte) (n int, err error) {
	for n < len(block) && err == nil {
		var read int
		read, err = r.Read(block[n:])
		n += read
	}
	return n, err
}

// counted ends with its ctx and tells how much was read.
type counted struct {
	r    io.Reader
	ctx  context.Context
	done int64
	told func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.done += int64(n)
	c.told(c.done)
	return n, err
}
