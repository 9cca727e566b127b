package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// puller is the connection to a place's host. It keeps tokens.
func (c *Components) puller(at place) (*remote.Puller, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The same host may be asked as a mirror over http, and as itself.
	key := fmt.Sprint(at.repo.RegistryStr(), " ", at.plain)
	if p, ok := c.pullers[key]; ok {
		return p, nil
	}
	keychain := c.settings.Keychain
	if keychain == nil {
		keychain = authn.NewMultiKeychain()
	}
	p, err := remote.NewPuller(
		remote.WithAuthFromKeychain(keychain),
		remote.WithTransport(c.guard(at)),
		remote.WithRetryPredicate(broken),
		remote.WithRetryBackoff(remote.Backoff{Duration: 300 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: tries}),
		remote.WithUserAgent("lkup"),
		remote.WithJobs(parallel+2), // manifests need not wait for layers
	)
	if err == nil {
		c.pullers[key] = p
	}
	return p, err
}

// guard is the way to a host, with its limits.
func (c *Components) guard(at place) http.RoundTripper {
	patience := c.settings.Patience
	return guard{patience: patience, host: at.repo.RegistryStr(), plain: at.plain, inner: &http.Transport{
		Proxy:                 c.settings.Proxy,
		DialContext:           (&net.Dialer{Timeout: patience, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: c.settings.Registries[hostName(at.repo.Registry)].CAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   patience,
		ResponseHeaderTimeout: patience,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   parallel,
		ForceAttemptHTTP2:     true,
	}}
}

// guard refuses plain http where it is not allowed, also after a redirect,
// and ends an answer in which nothing comes for too long.
type guard struct {
	inner    http.RoundTripper
	patience time.Duration
	host     string
	plain    bool // plain http is allowed to host
}

// errSilent stands for every kind of waiting too long.
var errSilent = errors.New("nothing comes")

func (g guard) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := g.allowed(request); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(request.Context())
	response, err := g.inner.RoundTrip(request.WithContext(ctx))
	if err != nil {
		cancel(nil)
		var timeout net.Error
		if request.Context().Err() == nil && errors.As(err, &timeout) && timeout.Timeout() {
			err = fmt.Errorf("%w: %w", errSilent, err)
		}
		return nil, err
	}
	timer := time.AfterFunc(g.patience, func() { cancel(errSilent) })
	timer.Stop() // it runs while somebody waits
	response.Body = &attended{body: response.Body, patience: g.patience, ctx: ctx, cancel: cancel, timer: timer}
	return response, nil
}

func (g guard) allowed(request *http.Request) error {
	to := request.URL
	if to.Scheme == "https" {
		return nil
	}
	if from := request.Response; from != nil && from.Request != nil && from.Request.URL.Scheme == "https" {
		return fmt.Errorf("it redirects from https to %s://%s, which is refused", to.Scheme, to.Host)
	}
	if !g.plain || to.Scheme != "http" || to.Host != g.host && !isLoopback(to.Host) {
		return fmt.Errorf("plain http to %s is refused; to allow it, write in config.hcl: registry %q { insecure = true }", to.Host, to.Host)
	}
	return nil
}

// attended is a body that is cancelled when it is silent.
type attended struct {
	body     io.ReadCloser
	patience time.Duration
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
}

func (a *attended) Read(p []byte) (int, error) {
	a.timer.Reset(a.patience)
	n, err := a.body.Read(p)
	a.timer.Stop()
	if err != nil && errors.Is(context.Cause(a.ctx), errSilent) {
		err = errSilent
	}
	return n, err
}

func (a *attended) Close() error {
	a.timer.Stop()
	err := a.body.Close()
	a.cancel(nil)
	return err
}
