// Package download brings what lies behind a URL into the store: resumed where
// it broke off, also by another process, and bounded in size, in silence and
// in attempts.
//
// It promises that nothing counts as downloaded before its digest is known to
// be the one that was asked for, that a credential reaches no host but the one
// that it was given for, and that nobody is asked in plain text but this
// computer itself. It reads no environment.
package download

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Settings are what a client goes by. All but Store may be left out.
type Settings struct {
	Store   *store.Store
	Proxy   func(*http.Request) (*url.URL, error) // nil: none
	RootCAs *x509.CertPool                        // nil: the host's
	Agent   string                                // User-Agent
	MaxSize int64                                 // bytes; 0: 64 GiB
	Idle    time.Duration                         // how long a server may be silent; 0: a minute
	Pause   time.Duration                         // before the second attempt; it doubles; 0: half a second
}

// Bounds of attempts that bring nothing, and of the pauses between them.
const (
	maxFruitless = 5
	maxPause     = 8 * time.Second
	maxAttempts  = 100
	// fruit is what an attempt must bring to count as progress.
	fruit = 64 << 10
)

// Client downloads. It may be used by many goroutines at once.
type Client struct {
	settings Settings
	http     *http.Client
}

// New makes a client.
func New(s Settings) *Client {
	if s.MaxSize == 0 {
		s.MaxSize = 64 << 30
	}
	if s.Idle == 0 {
		s.Idle = time.Minute
	}
	if s.Pause == 0 {
		s.Pause = time.Second / 2
	}
	return &Client{settings: s, http: &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:               s.Proxy,
			DialContext:         (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
			TLSClientConfig:     &tls.Config{RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 15 * time.Second,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
			DisableCompression:  true, // digests are of the bytes as they lie there
		},
	}}
}

// Request is a file that is wanted.
type Request struct {
	URL    string
	Header http.Header // a credential in it is sent to URL's own host only
	What   string      // for people: "download disk.qcow2"
	// Want is the digest that the file must have; "" takes what comes.
	Want sources.Digest
	// Size is how large it must be, in bytes, and Limit how large it may be;
	// 0 if that is not known.
	Size, Limit int64
	// Known identifies the content that is here already.
	Known Validator
}

// Validator is how a server tells one content of a URL from another.
type Validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// Got is what came of a request.
type Got struct {
	Digest    sources.Digest // of a blob in the store
	Validator Validator
	// Unchanged says that the server still has what [Request.Known] names, and
	// that nothing was downloaded.
	Unchanged bool
}

// MismatchError is content of another digest than was asked for.
type MismatchError struct {
	Got, Want sources.Digest
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("it has sha256 %s, not %s as expected; nothing of it was kept", e.Got.Hex(), e.Want.Hex())
}

// Get brings a file into the store, unless it is there. Of several processes
// that want one URL, one downloads and the others wait.
func (c *Client) Get(ctx context.Context, r Request, report sources.Report) (Got, error) {
	if _, ok := c.settings.Store.Blob(r.Want); ok {
		return Got{Digest: r.Want}, nil
	}
	if report == nil {
		report = func(sources.Progress) {}
	}
	var got Got
	err := c.settings.Store.Locked(ctx, store.Key("download", r.URL), func(string) error {
		if _, ok := c.settings.Store.Blob(r.Want); ok { // it came while we waited
			got = Got{Digest: r.Want}
			return nil
		}
		var err error
		got, err = c.locked(ctx, r, report)
		return err
	})
	if err != nil {
		return Got{}, fmt.Errorf("download %s: %w", Shown(r.URL), err)
	}
	return got, nil
}

// locked downloads while nobody else downloads the same.
func (c *Client) locked(ctx context.Context, r Request, report sources.Report) (Got, error) {
	p, err := openPart(c.settings.Store, r)
	if err != nil {
		return Got{}, err
	}
	for again := false; ; again = true {
		unchanged, err := c.complete(ctx, r, p, report)
		if err != nil {
			return Got{}, err
		}
		if unchanged {
			return Got{Unchanged: true, Validator: r.Known}, nil
		}
		joined, validator := p.joined, p.Validator
		d, err := p.adopt(r.Want)
		var mismatch *MismatchError
		if !errors.As(err, &mismatch) || !joined || again {
			return Got{Digest: d, Validator: validator}, err
		}
		// Its pieces may be of two contents. Once more, from the start.
	}
}

// complete makes attempts until the part is whole.
func (c *Client) complete(ctx context.Context, r Request, p *part, report sources.Report) (unchanged bool, err error) {
	pause := c.settings.Pause
	for attempt, fruitless := 1, 0; ; attempt++ {
		before := p.size
		unchanged, err = c.attempt(ctx, r, p, report)
		if err == nil {
			return unchanged, nil
		}
		var final finalError
		if ctx.Err() != nil || errors.As(err, &final) {
			return false, err
		}
		if fruitless++; p.size-before >= fruit {
			fruitless, pause = 0, c.settings.Pause
		}
		if fruitless >= maxFruitless || attempt >= maxAttempts {
			return false, fmt.Errorf("%w (after %d attempts); what came is kept, and the next run goes on from there", err, attempt)
		}
		if fruitless > 0 && unreachable(err) && p.size == 0 {
			return false, err
		}
		wait := pause
		var asked *StatusError
		if errors.As(err, &asked) && asked.RetryAfter > wait {
			wait = asked.RetryAfter
		}
		if err := sleep(ctx, wait); err != nil {
			return false, err
		}
		pause = min(2*pause, maxPause)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
