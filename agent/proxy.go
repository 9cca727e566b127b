package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// dialLimit bounds one connection to a place that may be reached.
const dialLimit = 15 * time.Second

// lastWords is how long a server may go on talking to a client that has ended.
const lastWords = 30 * time.Second

// Proxy is an HTTP proxy for what is allowed: CONNECT, and plain requests. It
// sees no further than the host that a tunnel is asked for: what a server that
// is listed does for others, it does for the guest too.
type Proxy struct {
	Allow    Allow
	Resolver Resolver // nil: the system's
	Now      func() time.Time
	// Told receives each request once it is over. It may be called concurrently.
	Told func(Entry)
}

var _ http.Handler = &Proxy{}

// ServeHTTP serves one request of a client that knows that it has a proxy.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	p.plain(w, r)
}

// tunnel joins the client with a place.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	e := Entry{Time: p.Now().UTC(), Kind: "connect", Method: r.Method, Host: r.Host}
	host, port, err := target(r.Host, "")
	if err != nil {
		p.refuse(w, e, err)
		return
	}
	e.Host, e.Port = host, port
	there, err := p.dial(r.Context(), host, port)
	if err != nil {
		p.refuse(w, e, err)
		return
	}
	defer there.Close()
	hijacker, can := w.(http.Hijacker)
	if !can {
		p.refuse(w, e, errors.New("this connection cannot become a tunnel"))
		return
	}
	here, buffered, err := hijacker.Hijack()
	if err != nil {
		p.refuse(w, e, err)
		return
	}
	defer here.Close()
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		e.Verdict, e.Why = Failed, "the guest hung up"
		p.Told(e)
		return
	}
	e.Status, e.Verdict = http.StatusOK, Allowed
	e.Sent, e.Received = join(r.Context(), here, buffered, there, p.Now)
	p.Told(e)
}

// join copies both ways until one of them ends, and counts. What the guest sent
// before the tunnel stood is in from.
func join(ctx context.Context, here net.Conn, from io.Reader, there net.Conn, now func() time.Time) (sent, received int64) {
	stop := context.AfterFunc(ctx, func() { _, _ = here.Close(), there.Close() })
	defer stop()
	var group sync.WaitGroup
	group.Go(func() {
		sent, _ = io.Copy(there, from) // an end is an end
		if half, can := there.(interface{ CloseWrite() error }); can {
			_ = half.CloseWrite()
		}
		_ = there.SetReadDeadline(now().Add(lastWords)) // nobody may be left to listen
	})
	group.Go(func() {
		received, _ = io.Copy(here, there)
		_ = here.Close() // all was said
	})
	group.Wait()
	return sent, received
}

// plain passes on a request in full, as http://host/path.
func (p *Proxy) plain(w http.ResponseWriter, r *http.Request) {
	e := Entry{Time: p.Now().UTC(), Kind: "http", Method: r.Method, Host: r.Host, Path: r.URL.Path}
	if r.URL.Scheme != "http" || r.URL.Host == "" {
		p.refuse(w, e, refusal{"this is a proxy: it takes CONNECT, and requests for http://"})
		return
	}
	host, port, err := target(r.URL.Host, "80")
	if err != nil {
		p.refuse(w, e, err)
		return
	}
	e.Host, e.Port = host, port
	if r.Header.Get("Upgrade") != "" {
		p.refuse(w, e, refusal{"this proxy passes on no upgrades; use CONNECT"})
		return
	}
	there, err := p.dial(r.Context(), host, port)
	if err != nil {
		p.refuse(w, e, err)
		return
	}
	defer there.Close()
	// One connection for one request, to just the address that was checked.
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return there, nil },
		DisableKeepAlives:  true,
		DisableCompression: true,
	}
	out := r.Clone(r.Context())
	out.RequestURI, out.Host = "", r.URL.Host
	body := &counted{from: r.Body}
	out.Body = body
	stripHops(out.Header)
	response, err := transport.RoundTrip(out)
	if err != nil {
		e.Sent = body.n.Load()
		p.refuse(w, e, err)
		return
	}
	defer response.Body.Close()
	stripHops(response.Header)
	copyHeader(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	e.Status, e.Verdict = response.StatusCode, Allowed
	e.Received, err = io.Copy(flushing{w}, response.Body)
	if err != nil {
		e.Why = "cut off"
	}
	e.Sent = body.n.Load()
	p.Told(e)
}

// dial connects to a place that may be reached. The address that is connected to
// is the one that was checked, whatever the name means a moment later.
func (p *Proxy) dial(ctx context.Context, host string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	var resolver Resolver = net.DefaultResolver
	if p.Resolver != nil {
		resolver = p.Resolver
	}
	addresses, err := p.Allow.addresses(ctx, resolver, host, port)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, a := range addresses {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(a, uint16(port)).String())
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// refuse says no, or that it did not work, and tells of it.
func (p *Proxy) refuse(w http.ResponseWriter, e Entry, err error) {
	answer(w, &e, err)
	p.Told(e)
}

func answer(w http.ResponseWriter, e *Entry, err error) {
	var no refusal
	e.Verdict, e.Status, e.Why = Failed, http.StatusBadGateway, err.Error()
	if errors.As(err, &no) {
		e.Verdict, e.Status = Refused, http.StatusForbidden
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(e.Status)
	fmt.Fprintf(w, "lkup: %s\n", e.Why)
}

// target takes apart HOST:PORT.
func target(text, port string) (string, int, error) {
	host, number, err := net.SplitHostPort(text)
	if err != nil && port != "" {
		host, number = strings.Trim(text, "[]"), port
	} else if err != nil {
		return text, 0, refusal{fmt.Sprintf("%q is not HOST:PORT", text)}
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@\\ ") {
		return host, 0, refusal{fmt.Sprintf("%q is not HOST:PORT", text)}
	}
	return host, int(n), nil
}

// stripHops removes the headers that are for the next hop alone, and those that
// are for a proxy.
func stripHops(h http.Header) {
	for _, value := range h["Connection"] {
		for _, name := range strings.Split(value, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = values
	}
}

// counted is a body that knows how much of it was read.
type counted struct {
	from io.ReadCloser
	n    atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counted) Close() error { return c.from.Close() }

// flushing sends what is written at once, as streams of events need.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if flusher, can := f.w.(http.Flusher); can {
		flusher.Flush()
	}
	return n, err
}
