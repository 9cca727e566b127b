package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/lkup/lkup/sources"
)

// attempt asks once for what the part lacks. An error that is no finalError
// may be followed by another attempt.
func (c *Client) attempt(ctx context.Context, r Request, p *part, report sources.Report) (unchanged bool, err error) {
	if p.size > 0 && !p.resumable(r) {
		if err := p.discard(); err != nil {
			return false, finalError{err}
		}
	}
	header := r.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	conditions(header, r, p)
	quiet, cancel := c.watch(ctx)
	defer cancel()
	response, err := c.do(quiet, r.URL, header)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	whole := false
	switch response.StatusCode {
	case http.StatusOK:
		err = c.beginning(r, p, response)
	case http.StatusPartialContent:
		err = continued(p, response)
	case http.StatusRequestedRangeNotSatisfiable:
		whole, err = nothingLeft(p, response)
	case http.StatusNotModified:
		if p.size == 0 && r.Known != (Validator{}) {
			return true, nil
		}
		err = statusError(response)
	default:
		err = statusError(response)
	}
	if err != nil || whole {
		return false, err
	}
	return false, c.receive(quiet, r, p, response.Body, report)
}

func conditions(header http.Header, r Request, p *part) {
	header.Set("Accept-Encoding", "identity")
	if p.size == 0 {
		if r.Known.ETag != "" {
			header.Set("If-None-Match", r.Known.ETag)
		}
		if r.Known.LastModified != "" {
			header.Set("If-Modified-Since", r.Known.LastModified)
		}
		return
	}
	header.Set("Range", fmt.Sprintf("bytes=%d-", p.size))
	if condition := p.condition(); condition != "" {
		header.Set("If-Range", condition)
	}
}

// beginning takes an answer that starts at the first byte.
func (c *Client) beginning(r Request, p *part, response *http.Response) error {
	total := max(response.ContentLength, 0)
	if err := c.checkSize(r, total); err != nil {
		return err
	}
	n := note{URL: r.URL, Total: total, Validator: validatorOf(response.Header)}
	if err := p.begin(n); err != nil {
		return finalError{err}
	}
	return nil
}

func validatorOf(h http.Header) Validator {
	return Validator{ETag: h.Get("ETag"), LastModified: h.Get("Last-Modified")}
}

func (c *Client) checkSize(r Request, total int64) error {
	if limit := c.limit(r); total > limit {
		return finalError{fmt.Errorf("it has %d bytes, and %d are allowed", total, limit)}
	}
	if r.Size != 0 && total != 0 && total != r.Size {
		return finalError{fmt.Errorf("it has %d bytes instead of %d", total, r.Size)}
	}
	return nil
}

func (c *Client) limit(r Request) int64 {
	if r.Limit != 0 {
		return r.Limit
	}
	return c.settings.MaxSize
}

var contentRange = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)$`)
})

// continued checks an answer that claims to go on where the part ends. A part
// that does not fit is given up.
func continued(p *part, response *http.Response) error {
	m := contentRange().FindStringSubmatch(response.Header.Get("Content-Range"))
	now := validatorOf(response.Header)
	fits := m != nil && m[1] == strconv.FormatInt(p.size, 10) &&
		(p.Total == 0 || m[3] == "*" || m[3] == strconv.FormatInt(p.Total, 10)) &&
		(p.ETag == "" || now.ETag == "" || p.ETag == now.ETag)
	if fits {
		p.joined = true
		return nil
	}
	return giveUp(p, errors.New("the server goes on with something else"))
}

// nothingLeft hears that there is nothing behind the part's end.
func nothingLeft(p *part, response *http.Response) (whole bool, err error) {
	m := contentRange().FindStringSubmatch(response.Header.Get("Content-Range"))
	if p.size > 0 && m != nil && m[3] == strconv.FormatInt(p.size, 10) {
		p.joined = true
		return true, nil
	}
	return false, giveUp(p, errors.New("the server has less than it had"))
}

func giveUp(p *part, reason error) error {
	if err := p.discard(); err != nil {
		return finalError{err}
	}
	return reason
}

// receive appends the body to the part.
func (c *Client) receive(ctx *watched, r Request, p *part, body io.Reader, report sources.Report) error {
	file, err := p.open()
	if err != nil {
		return finalError{err}
	}
	err = c.pour(ctx, r, p, file, body, report)
	if closing := file.Close(); err == nil && closing != nil {
		err = finalError{closing}
	}
	return err
}

func (c *Client) pour(ctx *watched, r Request, p *part, file io.Writer, body io.Reader, report sources.Report) error {
	limit, expected := c.limit(r), p.Total
	if r.Size != 0 {
		limit, expected = min(limit, r.Size), r.Size
	}
	progress := sources.Progress{What: r.What, Total: expected}
	buffer, told := make([]byte, 256<<10), int64(-1)
	for {
		n, err := body.Read(buffer)
		ctx.heard()
		if p.size+int64(n) > limit {
			return finalError{errors.Join(fmt.Errorf("it has more than the %d bytes that are allowed", limit), p.discard())}
		}
		if _, writing := file.Write(buffer[:n]); writing != nil {
			return finalError{writing}
		}
		p.size += int64(n)
		if progress.Done = p.size; told < 0 || p.size-told >= 1<<20 || err != nil {
			told = p.size
			report(progress)
		}
		switch {
		case errors.Is(err, io.EOF):
			if expected != 0 && p.size < expected {
				return fmt.Errorf("the connection ended after %d of %d bytes", p.size, expected)
			}
			if p.Total != 0 && p.size != p.Total {
				return giveUp(p, fmt.Errorf("%d bytes came instead of %d", p.size, p.Total))
			}
			return nil
		case err != nil:
			return fmt.Errorf("the connection broke after %d bytes: %w", p.size, ctx.reason(err))
		}
	}
}

// watched is a context that ends when nothing was heard for too long.
type watched struct {
	context.Context
	idle  time.Duration
	timer *time.Timer
}

func (c *Client) watch(ctx context.Context) (*watched, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	w := &watched{Context: inner, idle: c.settings.Idle}
	w.timer = time.AfterFunc(w.idle, func() {
		cancel(fmt.Errorf("the server said nothing for %s", w.idle))
	})
	return w, func() {
		w.timer.Stop()
		cancel(nil)
	}
}

func (w *watched) heard() { w.timer.Reset(w.idle) }

// reason is why an operation ended: what ended the context, if that is it.
func (w *watched) reason(err error) error {
	if cause := context.Cause(w); w.Err() != nil && cause != nil {
		return cause
	}
	return err
}
