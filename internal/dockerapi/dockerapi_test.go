package dockerapi_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/dockerapi"
)

// client is one of an engine that answers as handler does.
func client(t *testing.T, handler http.HandlerFunc) *dockerapi.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return dockerapi.New(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", server.Listener.Addr().String())
	})
}

func TestPublishedPortsAreListedOnceAndSorted(t *testing.T) {
	// As Docker Engine 20.10 answered, shortened.
	const list = `[
	  {"Id": "cbf1ac321cf81f2ca4", "Names": ["/web"], "State": "running", "Ports": [
	    {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 18080, "Type": "tcp"},
	    {"IP": "::", "PrivatePort": 80, "PublicPort": 18080, "Type": "tcp"},
	    {"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 5353, "Type": "udp"},
	    {"PrivatePort": 443, "Type": "tcp"}]},
	  {"Id": "41bac959865b83bed07a", "Names": [], "Ports": [{"IP": "::", "PrivatePort": 81, "PublicPort": 18081, "Type": "tcp"}]}]`
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/containers/json" {
			fmt.Fprint(w, list)
		}
	})
	got, err := c.Published(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []dockerapi.Port{
		{Container: "web", Address: "0.0.0.0", Public: 5353, Private: 53, Protocol: "udp"},
		{Container: "web", Address: "0.0.0.0", Public: 18080, Private: 80, Protocol: "tcp"},
		{Container: "41bac959865b", Address: "::", Public: 18081, Private: 81, Protocol: "tcp"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEachEventIsToldUntilTheEngineEnds(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Query().Get("filters"), "container") {
			http.Error(w, "of what?", http.StatusBadRequest)
			return
		}
		w.(http.Flusher).Flush()
		fmt.Fprint(w, "{\"status\":\"start\"}\n{\"status\":\"die\"}\n")
	})
	var told []string
	err := c.Follow(t.Context(), func() { told = append(told, "ready") }, func() { told = append(told, "happened") })
	if err == nil {
		t.Error("the engine ended, and nobody says so")
	}
	if diff := cmp.Diff([]string{"ready", "happened", "happened"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestWhatTheEngineRefusesIsSaid(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not today", http.StatusServiceUnavailable)
	})
	err := c.Ping(t.Context())
	if err == nil || !strings.Contains(err.Error(), "503 Service Unavailable to /_ping: not today") {
		t.Errorf("said: %v", err)
	}
}
