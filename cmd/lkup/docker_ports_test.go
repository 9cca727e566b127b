package main

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/lkup/lkup/internal/dockerapi"
	"github.com/lkup/lkup/internal/porttest"
)

// TestWhatContainersPublishIsOnThisComputersLoopback has a host take ports, be
// refused some, and give them back, without a guest behind them.
func TestWhatContainersPublishIsOnThisComputersLoopback(t *testing.T) {
	block := porttest.Of(t)
	port := func() int {
		p, err := block.Next()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	free, other, held := port(), port(), port()
	holder, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(held)))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	ctx, cancel := context.WithCancel(t.Context())
	k := &dockerKeeper{call: &call{ctx: ctx}, forwards: map[string]*dockerForward{}}
	defer k.group.Wait()
	defer cancel()
	published := []dockerapi.Port{
		{Container: "web", Address: "0.0.0.0", Public: free, Private: 80, Protocol: "tcp"},
		{Container: "same", Address: "127.0.0.1", Public: free, Private: 80, Protocol: "tcp"},
		{Container: "clash", Address: "10.1.2.3", Public: free, Private: 80, Protocol: "tcp"},
		{Container: "lan", Address: "10.1.2.3", Public: other, Private: 80, Protocol: "tcp"},
		{Container: "dns", Address: "0.0.0.0", Public: other, Private: 53, Protocol: "udp"},
		{Container: "taken", Address: "0.0.0.0", Public: held, Private: 80, Protocol: "tcp"},
	}
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	want := []struct{ host, problem string }{
		{at(free), ""}, {at(free), ""},
		{"", at(free) + " leads to " + at(free) + " of the guest"},
		{at(other), ""},
		{"", "only TCP is forwarded"},
		{"", at(held) + " is held by "},
	}
	for n, row := range k.forward(published) {
		if row.Host != want[n].host || (row.Problem == "") != (want[n].problem == "") || !strings.HasPrefix(row.Problem, want[n].problem) {
			t.Errorf("%s is at %q: %q; want %q: %q", row.Container, row.Host, row.Problem, want[n].host, want[n].problem)
		}
	}
	if f := k.forwards[at(other)]; f == nil || f.guest != net.JoinHostPort("10.1.2.3", strconv.Itoa(other)) {
		t.Errorf("%s leads to %+v", at(other), f)
	}
	k.forward(published[3:4])
	if conn, err := net.Dial("tcp", at(free)); err == nil {
		conn.Close()
		t.Error("the port of a container that is gone is still here")
	}
	if _, there := k.forwards[at(other)]; !there || len(k.forwards) != 1 {
		t.Errorf("left are %v", k.forwards)
	}
	k.forward(nil)
}
