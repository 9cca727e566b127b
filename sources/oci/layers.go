package oci

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// tries is how often a download is begun whose connection breaks.
const tries = 3

// download brings the layers here that are not.
func (c *Components) download(ctx context.Context, at place, layers []store.PackedLayer, report sources.Report) error {
	var missing []store.PackedLayer
	progress := &progress{report: report, total: sources.Progress{What: "pull " + at.ref}}
	for _, l := range layers {
		if !c.settings.Store.LayerUnpacked(l) {
			missing = append(missing, l)
			progress.total.Total += l.Size
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range missing {
		group.Go(func() error { return c.layer(ctx, at, l, progress) })
	}
	return group.Wait()
}

// layer downloads one layer, from its start again if the connection breaks.
func (c *Components) layer(ctx context.Context, at place, l store.PackedLayer, progress *progress) error {
	for try := 1; ; try++ {
		var in *counted
		err := c.settings.Store.UnpackLayer(ctx, l, c.settings.MaxLayer, func() (io.ReadCloser, error) {
			if err := c.downloads.Acquire(ctx, 1); err != nil {
				return nil, err
			}
			blob, err := c.blob(ctx, at, l.Digest)
			if err != nil {
				c.downloads.Release(1)
				return nil, err
			}
			in = &counted{ReadCloser: blob, progress: progress, done: func() { c.downloads.Release(1) }}
			return in, nil
		})
		if err == nil || try == tries || !broken(err) {
			return err
		}
		if in != nil {
			progress.add(-in.n)
		}
		select {
		case <-time.After(time.Duration(try) * 300 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// broken reports whether an error is that of a connection, which another may
// not have. One that was silent for long is not tried again.
func broken(err error) bool {
	return !errors.Is(err, errSilent) && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// counted tells how much was read, and is done once.
type counted struct {
	io.ReadCloser
	progress *progress
	n        int64
	done     func()
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	c.progress.add(int64(n))
	return n, err
}

func (c *counted) Close() error {
	c.done()
	return c.ReadCloser.Close()
}

// progress adds up the layers of an image. It tells of every hundredth part.
type progress struct {
	mu     sync.Mutex
	report sources.Report
	total  sources.Progress
	told   int64
}

func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total.Done += n
	if p.report == nil || p.total.Done-p.told < p.total.Total/100 && p.total.Done != p.total.Total {
		return
	}
	p.told = p.total.Done
	p.report(p.total)
}
