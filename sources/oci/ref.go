package oci

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/lkup/lkup/sources"
)

// place is where an image is asked for.
type place struct {
	ref    string // as written, without "oci:"
	tag    string // empty if the ref has a digest
	digest sources.Digest
	repo   name.Repository // at the mirror, if there is one
	mirror *url.URL        // nil for none
	plain  bool            // plain http is allowed to the repository's host
}

// place reads a ref as Docker and LinuxKit do: without a host it is docker.io,
// without a tag or digest, latest.
func (c *Components) place(ref string) (place, error) {
	text := strings.TrimPrefix(ref, "oci:")
	parsed, err := name.ParseReference(text)
	if err != nil {
		return place{}, fmt.Errorf("%q is no image ref; write NAME:TAG or NAME@sha256:..., as in oci:nginx:1.27", text)
	}
	at := place{ref: text, repo: parsed.Context()}
	switch parsed := parsed.(type) {
	case name.Digest:
		at.digest = sources.Digest(parsed.DigestStr())
		if !at.digest.Valid() {
			return place{}, fmt.Errorf("%q: its digest is not a SHA-256", text)
		}
	case name.Tag:
		at.tag = parsed.TagStr()
	}
	host := hostName(at.repo.Registry)
	settings := c.settings.Registries[host]
	at.plain = settings.Insecure || isLoopback(host)
	at.mirror = settings.Mirror
	if c.settings.Mirror != nil {
		at.mirror = c.settings.Mirror
	}
	if at.mirror != nil {
		return at.mirrored()
	}
	at.repo, err = repository(host, at.repo.RepositoryStr(), settings.Insecure)
	return at, err
}

// mirrored is the place at its mirror. The mirror's URL says whether plain
// http will do.
func (p place) mirrored() (place, error) {
	p.plain = p.mirror.Scheme == "http"
	repo, err := repository(p.mirror.Host, path.Join(strings.Trim(p.mirror.Path, "/"), p.repo.RepositoryStr()), p.plain)
	if err != nil {
		return place{}, fmt.Errorf("%s cannot be asked for at the mirror %s: %w", p.ref, p.mirror, err)
	}
	p.repo = repo
	return p, nil
}

func repository(host, repo string, insecure bool) (name.Repository, error) {
	var options []name.Option
	if insecure {
		options = append(options, name.Insecure)
	}
	return name.NewRepository(host+"/"+repo, options...)
}

// hostName is how people write a registry.
func hostName(r name.Registry) string {
	if r.RegistryStr() == name.DefaultRegistry {
		return "docker.io"
	}
	return r.RegistryStr()
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// explain says what a person can do about an error of a registry.
func (p place) explain(ctx context.Context, err error) error {
	host := hostName(p.repo.Registry)
	asked := host
	if p.mirror != nil {
		asked = fmt.Sprintf("the mirror %s", p.mirror)
	}
	var status *transport.Error
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("get %s: %w", p.ref, ctx.Err())
	case errors.Is(err, errSilent):
		return fmt.Errorf("get %s: %s does not answer", p.ref, asked)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("get %s: connection refused by %s; does a registry run there?", p.ref, asked)
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return fmt.Errorf("get %s: %s has no such image; check the name and the tag", p.ref, asked)
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return fmt.Errorf("get %s: %s refuses to give it, or has none of that name; log in with: docker login %s (%w)", p.ref, asked, host, err)
	case errors.As(err, &status) && status.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("get %s: %s has had too many requests from this address; wait, or log in with: docker login %s", p.ref, asked, host)
	}
	return fmt.Errorf("get %s from %s: %w", p.ref, asked, err)
}
