package sshd_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/guest/sshd"
)

// connect starts a server, and a client that the server knows.
func connect(t *testing.T) *ssh.Client {
	t.Helper()
	hostKey, host := key(t)
	_, user := key(t)
	server, err := sshd.New(sshd.Settings{
		HostKey:        hostKey,
		AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(user.PublicKey()))},
		Dir:            t.TempDir(),
		Shell:          func() string { return "/bin/sh" },
		Log:            t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		listener.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client, err := ssh.Dial("tcp", listener.Addr().String(), &ssh.ClientConfig{
		User:            "root",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(user)},
		HostKeyCallback: ssh.FixedHostKey(host.PublicKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func key(t *testing.T) (private []byte, signer ssh.Signer) {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(k, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err = ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), signer
}

func TestTheGuestsPortsAndSocketsReachTheClient(t *testing.T) {
	for network, address := range map[string]string{
		"tcp":  "127.0.0.1:0",
		"unix": filepath.Join(t.TempDir(), "s"),
	} {
		t.Run(network, func(t *testing.T) {
			client := connect(t)
			listener, err := client.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			go answer(listener)
			inGuest := listener.Addr().String()
			if got := ask(t, network, inGuest, "ping"); got != "you said ping" {
				t.Errorf("through the forward: %q", got)
			}
			if err := listener.Close(); err != nil {
				t.Fatal(err)
			}
			if conn, err := net.Dial(network, inGuest); err == nil {
				conn.Close()
				t.Error("the guest still listens after the client cancelled")
			}
		})
	}
}

// answer reads each connection to its end and answers, so that a half that is
// closed must be passed on.
func answer(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			said, _ := io.ReadAll(conn)
			_, _ = io.WriteString(conn, "you said "+string(said))
			_ = conn.Close()
		}()
	}
}

func ask(t *testing.T, network, address, question string) string {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, question); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestForwardsEndWithTheConnection(t *testing.T) {
	client := connect(t)
	listener, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	_ = client.Wait() // the error is that it was closed
	for {             // the server hears of it a moment later
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			return
		}
		conn.Close()
		if t.Context().Err() != nil {
			t.Fatal("still listening")
		}
	}
}

func TestASignalBeforeTheProcessIsKnownIsNotLost(t *testing.T) {
	client := connect(t)
	for range 20 {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		stdin, err := session.StdinPipe() // open, so that only the signal ends it
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Start("exec cat"); err != nil { // answers as soon as it is under way
			t.Fatal(err)
		}
		if err := session.Signal(ssh.SIGTERM); err != nil {
			t.Fatal(err)
		}
		var exit *ssh.ExitError
		if err := session.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
			t.Fatalf("ended with %v", err)
		}
		stdin.Close()
	}
}
