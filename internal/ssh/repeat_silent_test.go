package ssh_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
)

// faltering is a guest that replies to its first requests as it is told to, and
// to nothing after them. heard is told of what it leaves unanswered.
func faltering(t *testing.T, replies []bool, heard chan<- struct{}) drivers.Machine {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	m := machine(t, listener.Addr().(*net.TCPAddr).Port)
	key, err := os.ReadFile(filepath.Join(m.Dir, "ssh_host_ed25519_key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config := &xssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	go func() { // until the client hangs up
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, channels, requests, err := xssh.NewServerConn(conn, config)
		if err != nil {
			return
		}
		go xssh.DiscardRequests(requests)
		for c := range channels {
			replies = falter(c, replies, heard)
		}
	}()
	return m
}

// falter returns what it has not replied when the client ends the session.
func falter(c xssh.NewChannel, replies []bool, heard chan<- struct{}) []bool {
	channel, requests, err := c.Accept()
	if err != nil {
		return nil
	}
	go func() { // ends with the channel
		if n, _ := channel.Read(make([]byte, 1)); n > 0 {
			heard <- struct{}{}
		}
	}()
	for r := range requests {
		if len(replies) == 0 {
			heard <- struct{}{}
			continue
		}
		_ = r.Reply(replies[0], nil)
		replies = replies[1:]
	}
	return replies
}

func TestAGuestThatDoesNotRepeatIsGivenUp(t *testing.T) {
	for name, replies := range map[string][]bool{
		"it does not say whether it can": nil,
		"it starts no shell":             {false},
		"its shell says nothing":         {false, true},
		"it does not say that it has":    {true},
	} {
		t.Run(name, func(t *testing.T) {
			heard, done := make(chan struct{}, 9), make(chan error, 1)
			conn := connect(t, faltering(t, replies, heard))
			ctx, end := context.WithCancel(t.Context())
			go func() {
				r, err := conn.Repeater(ctx)
				if err == nil {
					_, err = r.Repeat(ctx, guest.Repeat{})
					if _, again := r.Repeat(context.WithoutCancel(ctx), guest.Repeat{}); again == nil {
						t.Error("its session goes on")
					}
				}
				done <- err
			}()
			<-heard
			end()
			select {
			case err := <-done:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want the reason for which it was given up", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it was not given up")
			}
		})
	}
}
