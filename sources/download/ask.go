package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/sources"
)

// finalError is one that another attempt would only repeat.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// StatusError is an answer that is not the content.
type StatusError struct {
	Status     int
	Header     http.Header
	RetryAfter time.Duration // 0 if the server did not say, or named a date
	Host       string        // that answered, after redirects
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.Host, e.Status, http.StatusText(e.Status))
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(", and asks to wait %s", e.RetryAfter)
	}
	return text
}

// patience is how long a server may ask to wait.
const patience = 30 * time.Second

func statusError(response *http.Response) error {
	e := &StatusError{Status: response.StatusCode, Header: response.Header, Host: response.Request.URL.Host}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(min(seconds, 1<<30)) * time.Second
	}
	again := e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests
	if !again || e.RetryAfter > patience {
		return finalError{e}
	}
	return e
}

// Answer is a small thing that a server says.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Ask reads a small answer, of at most limit bytes, whatever its status. It
// asks again only if there is none.
func (c *Client) Ask(ctx context.Context, address string, header http.Header, limit int64) (Answer, error) {
	pause := c.settings.Pause
	for attempt := 1; ; attempt++ {
		answer, err := c.ask(ctx, address, header, limit)
		var final finalError
		if err == nil || ctx.Err() != nil || errors.As(err, &final) || unreachable(err) || attempt >= maxFruitless {
			if err != nil {
				return Answer{}, fmt.Errorf("ask %s: %w", Shown(address), err)
			}
			return answer, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return Answer{}, err
		}
		pause = min(2*pause, maxPause)
	}
}

func (c *Client) ask(ctx context.Context, address string, header http.Header, limit int64) (Answer, error) {
	quiet, cancel := c.watch(ctx)
	defer cancel()
	response, err := c.do(quiet, address, header.Clone())
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return Answer{}, quiet.reason(err)
	}
	if int64(len(body)) > limit {
		return Answer{}, finalError{fmt.Errorf("the answer has more than the %d bytes that are allowed", limit)}
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body}, nil
}

// do sends a request, and follows redirects as far as they are allowed.
func (c *Client) do(ctx *watched, address string, header http.Header) (*http.Response, error) {
	u, err := Parse(address)
	if err != nil {
		return nil, finalError{err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, finalError{err}
	}
	if header != nil {
		request.Header = header
	}
	if c.settings.Agent != "" {
		request.Header.Set("User-Agent", c.settings.Agent)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, plainly(ctx.reason(err))
	}
	ctx.heard()
	return response, nil
}

// plainly takes the URL out of an error, which may hold secrets, and says of
// those that come again for ever that they do.
func plainly(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var (
		certificate *tls.CertificateVerificationError
		redirect    *redirectError
	)
	if errors.As(err, &certificate) || errors.As(err, &redirect) || errors.Is(err, sources.ErrOffline) {
		return finalError{err}
	}
	return err
}

// unreachable reports whether no connection came about.
func unreachable(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// Parse reads a URL that may be asked for: https, or http to this computer.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("it is no URL: %w", plainly(err))
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%q is no scheme that lkup downloads by; use https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the URL names no host")
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return nil, fmt.Errorf("plain http is for this computer alone, and anybody on the way to %s could change what comes; write https://%s", u.Hostname(), u.Host)
	}
	return u, nil
}

// Loopback reports whether a host is this computer, by its name alone.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Shown is a URL for people: without a password and without a query, which
// may be a secret.
func Shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the URL"
	}
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.Redacted()
}

// redirectError is a redirect that is not followed.
type redirectError struct{ reason string }

func (e *redirectError) Error() string { return e.reason }

const maxRedirects = 10

func checkRedirect(request *http.Request, via []*http.Request) error {
	to, from := request.URL, via[len(via)-1].URL
	if len(via) >= maxRedirects {
		return &redirectError{fmt.Sprintf("it is redirected more than %d times", maxRedirects)}
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return &redirectError{fmt.Sprintf("%s redirects to %s://%s, which is not https; lkup does not follow", from.Host, to.Scheme, to.Host)}
	}
	if _, err := Parse(to.String()); err != nil {
		return &redirectError{fmt.Sprintf("%s redirects to %s://%s: %v", from.Host, to.Scheme, to.Host, err)}
	}
	// The library drops credentials too, but not for another port or for a
	// name below the first.
	if first := via[0].URL; to.Scheme != first.Scheme || !strings.EqualFold(to.Host, first.Host) {
		for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
			request.Header.Del(name)
		}
	}
	request.Header.Del("Referer")
	return nil
}
