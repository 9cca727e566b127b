// Package dockerapi asks a Docker Engine the few things that forwarding its
// containers' ports takes. It speaks the Engine API's plain HTTP without a
// version in its paths, which is what each engine answers in its own; it changes
// nothing there.
package dockerapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Client asks one engine. It is safe for concurrent use.
type Client struct{ http http.Client }

// New makes a client of an engine that dial connects to.
func New(dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DisableKeepAlives:     true, // an idle connection would hold one of the guest's
		ResponseHeaderTimeout: answerLimit,
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}}
}

const (
	// answerLimit is how long an engine may take to begin an answer.
	answerLimit = time.Minute
	// listLimit is how large a list of containers may be, in bytes, and
	// errorLimit what is shown of an error.
	listLimit, errorLimit = 64 << 20, 4 << 10
)

// Ping is an error unless the engine answers.
func (c *Client) Ping(ctx context.Context) error {
	body, err := c.get(ctx, "/_ping", nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// Port is a published port of a running container, as the engine's own host
// sees it.
type Port struct {
	Container string // its name
	Address   string // that it is published on; 0.0.0.0 and :: are all
	Public    int    // the port there
	Private   int    // the container's
	Protocol  string // tcp, udp or sctp
}

// container is what GET /containers/json says of one, as far as it counts here:
// see "ContainerSummary" in the Engine API's reference.
type container struct {
	ID    string `json:"Id"`
	Names []string
	Ports []struct {
		IP          string
		PrivatePort int
		PublicPort  int
		Type        string
	}
}

// Published lists the published ports of all running containers, sorted, each
// once: one that is published on all addresses of both families has 0.0.0.0
// alone.
func (c *Client) Published(ctx context.Context) ([]Port, error) {
	body, err := c.get(ctx, "/containers/json", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var containers []container
	if err := json.NewDecoder(io.LimitReader(body, listLimit)).Decode(&containers); err != nil {
		return nil, fmt.Errorf("read the engine's list of containers: %w", err)
	}
	var all []Port
	for _, one := range containers {
		for _, p := range one.Ports {
			if p.PublicPort < 1 || p.PublicPort > 65535 {
				continue // not published
			}
			all = append(all, Port{Container: one.name(), Address: p.IP, Public: p.PublicPort, Private: p.PrivatePort, Protocol: p.Type})
		}
	}
	slices.SortFunc(all, compare)
	all = slices.Compact(all)
	every := slices.Clone(all)
	return slices.DeleteFunc(all, func(p Port) bool {
		four := p
		four.Address = "0.0.0.0"
		return p.Address == "::" && slices.Contains(every, four)
	}), nil
}

func (c container) name() string {
	if len(c.Names) > 0 {
		return strings.TrimPrefix(c.Names[0], "/")
	}
	return c.ID[:min(12, len(c.ID))]
}

func compare(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Public, b.Public), strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Address, b.Address), strings.Compare(a.Container, b.Container))
}

// Follow calls ready once the engine tells what happens to its containers from
// now on, and then happened for everything that may have changed their ports.
// It ends with an error when the engine does, or with ctx.
func (c *Client) Follow(ctx context.Context, ready, happened func()) error {
	filters := `{"type":["container"],"event":["start","die","stop","pause","unpause","rename","destroy"]}`
	body, err := c.get(ctx, "/events", url.Values{"filters": {filters}})
	if err != nil {
		return err
	}
	defer body.Close()
	ready()
	decoder := json.NewDecoder(body)
	for {
		var event json.RawMessage // that something happened is enough
		if err := decoder.Decode(&event); err != nil {
			return fmt.Errorf("follow the engine's events: %w", err)
		}
		happened()
	}
}

// get gives the body of an answer, which must be closed.
func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	target := url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // its URL is nobody's
			err = wrapped.Err
		}
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(response.Body, errorLimit)) // the status says enough
		return nil, fmt.Errorf("the engine answers %s to %s: %s", response.Status, path, strings.TrimSpace(string(said)))
	}
	return response.Body, nil
}
