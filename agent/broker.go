package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Placeholder is what the guest has in place of a key.
const Placeholder = "lkup-holds-the-key-on-the-host"

// API is one that lkup knows how to give a key to.
type API struct {
	Name    string
	Base    string // where it is, unless BaseEnv of the host says otherwise
	KeyEnv  string // the variable that its key is in, on the host and in the guest
	BaseEnv string // the variable by which programs are told where it is
	bearer  bool
}

// APIs are those that auth can name.
func APIs() []API {
	return []API{
		{Name: "anthropic", Base: "https://api.anthropic.com", KeyEnv: "ANTHROPIC_API_KEY", BaseEnv: "ANTHROPIC_BASE_URL"},
		{Name: "openai", Base: "https://api.openai.com/v1", KeyEnv: "OPENAI_API_KEY", BaseEnv: "OPENAI_BASE_URL", bearer: true},
	}
}

// Broker passes requests on to one API with the key that the guest has not.
type Broker struct {
	API    API
	Base   *url.URL // scheme, host and perhaps the beginning of a path
	Key    string
	Budget *Budget // nil: none
	Now    func() time.Time
	Told   func(Entry)
	// Transport carries requests to the API, such as NewTransport.
	Transport http.RoundTripper
}

var _ http.Handler = &Broker{}

// NewTransport is how a broker reaches its API.
func NewTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialLimit}).DialContext,
		TLSHandshakeTimeout: dialLimit,
		IdleConnTimeout:     time.Minute,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // what the guest asked for is what it gets
	}
}

// ServeHTTP serves one request.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := Entry{Time: b.Now().UTC(), Kind: b.API.Name, Method: r.Method, Host: b.Base.Hostname(), Port: portOf(b.Base), Path: r.URL.Path}
	if err := b.acceptable(r); err != nil {
		answer(w, &e, err)
		b.Told(e)
		return
	}
	if !b.Budget.request() {
		b.overBudget(w, &e)
		return
	}
	body := &counted{from: http.MaxBytesReader(w, r.Body, mostBody)}
	response, err := b.Transport.RoundTrip(b.outgoing(r, body))
	e.Sent = body.n.Load()
	b.Budget.bytes(e.Sent)
	if err != nil {
		answer(w, &e, b.withoutKey(err))
		b.Told(e)
		return
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 && response.StatusCode < 400 && response.Header.Get("Location") != "" {
		answer(w, &e, refusal{"the API answered with a redirect, which is not followed: the key is for one host alone"})
		b.Told(e)
		return
	}
	b.pass(w, response, &e)
	b.Told(e)
}

// mostBody bounds what is sent to an API in one request, in bytes.
const mostBody = 64 << 20

// acceptable refuses what is for other hosts, or would become a tunnel.
func (b *Broker) acceptable(r *http.Request) error {
	switch {
	case r.URL.Host != "" || r.URL.Scheme != "":
		return refusal{"this is no proxy: it leads to " + b.Base.Host + " alone"}
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace, r.Header.Get("Upgrade") != "":
		return refusal{r.Method + " is not passed on, nor are upgrades"}
	case !strings.HasPrefix(r.URL.Path, "/"), path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") && r.URL.Path != "/", strings.Contains(strings.ToLower(r.URL.EscapedPath()), "%2e"), strings.Contains(r.URL.Path, `\`):
		return refusal{"a path with detours is not passed on"}
	}
	return nil
}

// outgoing is the request as the API gets it.
func (b *Broker) outgoing(r *http.Request, body *counted) *http.Request {
	out := r.Clone(r.Context())
	out.RequestURI, out.Host = "", b.Base.Host
	out.URL.Scheme, out.URL.Host, out.URL.User = b.Base.Scheme, b.Base.Host, nil
	out.URL.Path = strings.TrimSuffix(b.Base.Path, "/") + r.URL.Path
	out.URL.RawPath = ""
	out.Body = body
	if r.ContentLength == 0 {
		out.Body = nil
	}
	stripHops(out.Header)
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host"} {
		out.Header.Del(name)
	}
	if b.API.bearer {
		out.Header.Set("Authorization", "Bearer "+b.Key)
	} else {
		out.Header.Set("X-Api-Key", b.Key)
	}
	return out
}

// pass hands the API's answer to the guest as it comes.
func (b *Broker) pass(w http.ResponseWriter, response *http.Response, e *Entry) {
	e.Status, e.Verdict = response.StatusCode, Allowed
	stripHops(response.Header)
	for name, values := range response.Header {
		for _, value := range values {
			if !strings.Contains(value, b.Key) {
				w.Header().Add(name, value)
			}
		}
	}
	w.Header().Del("Set-Cookie")
	w.Header().Del("Content-Length") // hiding may change it
	w.WriteHeader(response.StatusCode)
	hidden := newHiding(flushing{w}, b.Key, Placeholder)
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		e.Received += int64(n)
		if !b.Budget.bytes(int64(n)) {
			e.Why = "cut off: the budget is used up"
			break
		}
		if _, wrote := hidden.Write(buffer[:n]); wrote != nil {
			e.Why = "the guest hung up"
			return
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			e.Why = "cut off by the API"
			break
		}
	}
	_ = hidden.Flush() // a guest that is gone does not mind
}

func (b *Broker) overBudget(w http.ResponseWriter, e *Entry) {
	e.Verdict, e.Status, e.Why = Refused, http.StatusTooManyRequests, fmt.Sprintf("the budget of %s is used up", b.Budget)
	http.Error(w, "lkup: "+e.Why, e.Status)
	b.Told(*e)
}

// withoutKey is an error for the guest and the log.
func (b *Broker) withoutKey(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), b.Key, Placeholder))
}

func portOf(u *url.URL) int {
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return n
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}
