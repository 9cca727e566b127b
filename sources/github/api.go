package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lkup/lkup/sources/download"
)

// DefaultAPI is the API's root for github.com.
const DefaultAPI = "https://api.github.com"

// Bounds of what the API may say.
const (
	maxAnswer = 16 << 20
	maxPages  = 50
	// fullPage is how many assets a release lists by itself at least, before
	// the rest stands on pages of its own.
	fullPage = 30
)

// release and asset are what the API says of them, as far as it is used.
type release struct {
	ID     int64   `json:"id"`
	Tag    string  `json:"tag_name"`
	Assets []asset `json:"assets"`
}

type asset struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Size    int64  `json:"size"`
	Digest  string `json:"digest"` // "sha256:...", or "" for old ones
	Updated string `json:"updated_at"`
	URL     string `json:"url"`                  // of the API, for who has a token
	Browser string `json:"browser_download_url"` // for everybody
}

var errNotFound = errors.New("not found")

func (s Source) root() string {
	if s.API == "" {
		return DefaultAPI
	}
	return strings.TrimRight(s.API, "/")
}

// trusted reports whether a URL is the API's, so that the token may go there.
func (s Source) trusted(address string) bool {
	api, err := url.Parse(s.root())
	to, failed := url.Parse(address)
	return err == nil && failed == nil && to.User == nil && api.Scheme == to.Scheme && strings.EqualFold(api.Host, to.Host)
}

func (s Source) header(address, accept string) http.Header {
	h := http.Header{"Accept": {accept}, "X-Github-Api-Version": {"2022-11-28"}}
	if s.Token != "" && s.trusted(address) {
		h.Set("Authorization", "Bearer "+s.Token)
	}
	return h
}

// ask decodes an answer of the API, and returns the next page's URL.
func (s Source) ask(ctx context.Context, address string, into any) (next string, err error) {
	answer, err := s.Client.Ask(ctx, address, s.header(address, "application/vnd.github+json"), maxAnswer)
	if err != nil {
		return "", err
	}
	if answer.Status != http.StatusOK {
		return "", s.refusal(address, answer)
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return "", fmt.Errorf("%s does not speak GitHub's API: %w", download.Shown(address), err)
	}
	if m := nextPage().FindStringSubmatch(answer.Header.Get("Link")); m != nil {
		next = m[1]
	}
	return next, nil
}

var nextPage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`<([^>]*)>;\s*rel="next"`)
})

// refusal explains an answer that is not what was asked for.
func (s Source) refusal(address string, answer download.Answer) error {
	var body struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer.Body, &body)
	switch answer.Status {
	case http.StatusNotFound:
		return errNotFound
	case http.StatusUnauthorized:
		return fmt.Errorf("GitHub does not take the token in %s; it may have ended: set another, or none", s.tokenName())
	case http.StatusForbidden, http.StatusTooManyRequests:
		if limited := s.limited(answer.Header); limited != nil {
			return limited
		}
	}
	return fmt.Errorf("%s answers %d %s: %s", download.Shown(address), answer.Status, http.StatusText(answer.Status), body.Message)
}

func (s Source) tokenName() string {
	if s.TokenFrom == "" {
		return "GITHUB_TOKEN"
	}
	return s.TokenFrom
}

// limited explains a rate limit, if there is one.
func (s Source) limited(h http.Header) error {
	until, told := s.limitEnds(h)
	if !told {
		return nil
	}
	text := "GitHub takes no more requests from here"
	if limit := h.Get("X-Ratelimit-Limit"); limit != "" && h.Get("X-Ratelimit-Remaining") == "0" {
		text = fmt.Sprintf("GitHub's limit of %s requests is used up", limit)
	}
	wait := max(until.Sub(s.Now()).Round(time.Second), 0)
	text += fmt.Sprintf(" until %s UTC, in %s", until.UTC().Format(time.TimeOnly), wait)
	if s.Token == "" {
		text += "; with a token in GITHUB_TOKEN the limit is higher"
	}
	return errors.New(text)
}

func (s Source) limitEnds(h http.Header) (time.Time, bool) {
	if seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32); err == nil {
		return s.Now().Add(time.Duration(seconds) * time.Second), true
	}
	if h.Get("X-Ratelimit-Remaining") != "0" {
		return time.Time{}, false
	}
	at, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
	return time.Unix(at, 0), err == nil
}

// release finds what a ref names, with all its assets.
func (s Source) release(ctx context.Context, r ref) (release, error) {
	base := s.root() + "/repos/" + r.repository() + "/releases"
	address := base + "/tags/" + escaped(r.tag)
	if r.tag == latest {
		address = base + "/latest"
	}
	var found release
	_, err := s.ask(ctx, address, &found)
	if errors.Is(err, errNotFound) {
		return release{}, s.missing(ctx, r)
	}
	if err != nil {
		return release{}, err
	}
	if len(found.Assets) >= fullPage {
		found.Assets, err = s.pages(ctx, fmt.Sprintf("%s/%d/assets?per_page=100", base, found.ID))
	}
	uploaded := found.Assets[:0]
	for _, a := range found.Assets {
		if a.State == "" || a.State == "uploaded" {
			uploaded = append(uploaded, a)
		}
	}
	found.Assets = uploaded
	return found, err
}

func (s Source) pages(ctx context.Context, address string) ([]asset, error) {
	var all []asset
	for range maxPages {
		var page []asset
		next, err := s.ask(ctx, address, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		if !s.trusted(next) {
			return nil, fmt.Errorf("the next page of assets is said to be at %s, which is not GitHub's API", download.Shown(next))
		}
		address = next
	}
	return nil, fmt.Errorf("the release has more than %d pages of assets", maxPages)
}

// missing explains why there is no such release.
func (s Source) missing(ctx context.Context, r ref) error {
	base := s.root() + "/repos/" + r.repository()
	var repository struct{}
	_, err := s.ask(ctx, base, &repository)
	switch {
	case errors.Is(err, errNotFound) && s.Token == "":
		return fmt.Errorf("GitHub shows no repository %s; is it misspelt? If it is private, set GITHUB_TOKEN to a token that may read it", r.repository())
	case errors.Is(err, errNotFound):
		return fmt.Errorf("GitHub shows no repository %s to the token in %s; is it misspelt, or may the token not read it?", r.repository(), s.tokenName())
	case err != nil:
		return err
	case r.tag == latest:
		return fmt.Errorf("%s has no release that counts as its latest: drafts and pre-releases do not; name a tag: github:%s@TAG/%s", r.repository(), r.repository(), r.pattern)
	}
	var releases []release
	if _, err := s.ask(ctx, base+"/releases?per_page=10", &releases); err != nil || len(releases) == 0 {
		return fmt.Errorf("%s has no release %s, nor any other", r.repository(), r.tag)
	}
	var tags []string
	for _, release := range releases {
		tags = append(tags, release.Tag)
	}
	return fmt.Errorf("%s has no release %s; the newest are %s", r.repository(), r.tag, strings.Join(tags, ", "))
}
