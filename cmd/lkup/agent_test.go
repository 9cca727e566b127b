package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"
)

// serveAPI VARIABLE KEY is an API on the host's loopback that wants a key, its
// URL, and in VARIABLE_PORT its port. Without the key it answers too, and says so.
func serveAPI(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		known := "without the key"
		if r.Header.Get("X-Api-Key") == args[1] {
			known = "with the real key " + args[1]
		}
		fmt.Fprintf(w, "%s %s %s: %s.\n", r.Method, r.URL.Path, known, body)
	}))
	ts.Defer(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], server.URL)
	ts.Setenv(args[0]+"_PORT", port)
}
