package sourcetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// CDN is a server of files as content networks are: with ETags, ranges and
// conditions. A path may behave as a test says instead.
type CDN struct {
	*httptest.Server

	mu       sync.Mutex
	files    map[string][]byte
	handlers map[string]http.Handler
	seen     []*http.Request
}

// NewCDN starts a server on loopback, in plain text or with a certificate of
// its own, that ends with the test.
func NewCDN(t testing.TB, encrypted bool) *CDN {
	c := unstarted()
	if encrypted {
		c.StartTLS()
	} else {
		c.Start()
	}
	c.closeAfter(t)
	return c
}

// unstarted is one whose handler can still be another.
func unstarted() *CDN {
	c := &CDN{files: map[string][]byte{}, handlers: map[string]http.Handler{}}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	return c
}

func (c *CDN) closeAfter(t testing.TB) {
	t.Cleanup(func() {
		c.CloseClientConnections()
		c.Close()
	})
}

// Put makes a file, or changes it, and returns its URL.
func (c *CDN) Put(path string, content []byte) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[path] = content
	return c.URL + path
}

// Handle lets a path behave otherwise, and returns its URL. nil ends that.
func (c *CDN) Handle(path string, handler http.HandlerFunc) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if delete(c.handlers, path); handler != nil {
		c.handlers[path] = handler
	}
	return c.URL + path
}

// Seen are the requests so far, of one path, or of all for "".
func (c *CDN) Seen(path string) []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen []*http.Request
	for _, r := range c.seen {
		if path == "" || r.URL.Path == path {
			seen = append(seen, r)
		}
	}
	return seen
}

func (c *CDN) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.seen = append(c.seen, r)
	handler, content := c.handlers[r.URL.Path], c.files[r.URL.Path]
	c.mu.Unlock()
	switch {
	case handler != nil:
		handler.ServeHTTP(w, r)
	case content != nil:
		c.Serve(w, r, content)
	default:
		http.NotFound(w, r)
	}
}

// Serve answers as for a file of that content.
func (c *CDN) Serve(w http.ResponseWriter, r *http.Request, content []byte) {
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(content))[:16]))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// Cut is a writer that breaks the connection after so many bytes of a body.
type Cut struct {
	http.ResponseWriter
	After int
}

// Write implements [http.ResponseWriter].
func (c *Cut) Write(p []byte) (int, error) {
	if len(p) < c.After {
		c.After -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.After])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}
