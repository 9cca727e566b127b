package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/lkup/lkup/agent/npm/npmtest"
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
	ts.Setenv(args[0], server.URL)
	ts.Setenv(args[0]+"_PORT", portOf(ts, server.Listener.Addr()))
}

func portOf(ts *testscript.TestScript, a net.Addr) string {
	_, port, err := net.SplitHostPort(a.String())
	ts.Check(err)
	return port
}

// npmRegistryOf VARIABLE is a registry of npm with a program for an agent: one
// that needs another package, has a part for each computer, and a script to be
// run once it is installed. It runs a script of the project.
func npmRegistryOf(ts *testscript.TestScript, _ bool, args []string) {
	type object = map[string]any
	served := &npmtest.Registry{Token: "npm-s3cret"}
	ts.Check(served.Publish(object{
		"name": "@example/stub", "version": "1.0.0", "bin": object{"stub": "bin/run.sh"},
		"scripts":              object{"postinstall": "sh ./setup.sh"},
		"dependencies":         object{"greeting": "^1.0.0"},
		"optionalDependencies": object{"@example/stub-x64": "npm:@example/stub@1.0.0-x64", "@example/stub-arm64": "npm:@example/stub@1.0.0-arm64"},
	},
		npmtest.File{Name: "package/bin/run.sh", Content: "#!/bin/sh\nhere=$(dirname \"$(readlink -f \"$0\")\")/..\ncat $here/made\nexec sh /app/agent.sh \"$@\"\n"},
		npmtest.File{Name: "package/setup.sh", Content: "cat node_modules/greeting/text node_modules/@example/stub-*/text >made\n"},
		npmtest.File{Name: "package/../../../../../../app/escaped", Content: "evil"},
	))
	ts.Check(served.Publish(object{"name": "greeting", "version": "1.2.0"}, npmtest.File{Name: "package/text", Content: "installed by npm's rules, "}))
	ts.Check(served.Publish(object{"name": "greeting", "version": "2.0.0"}))
	ts.Check(served.Publish(object{"name": "@example/stub", "version": "1.0.0-x64", "cpu": []string{"x64"}}, npmtest.File{Name: "package/text", Content: "for this computer\n"}))
	ts.Check(served.Publish(object{"name": "@example/stub", "version": "1.0.0-arm64", "cpu": []string{"arm64"}}, npmtest.File{Name: "package/text", Content: "for this computer\n"}))
	server := httptest.NewServer(served)
	ts.Defer(server.Close)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}

// sshAgent SOCKET VARIABLE is an SSH agent with a key, and a server that lets
// that key in, whose port is in the variable.
func sshAgent(ts *testscript.TestScript, _ bool, args []string) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	keys := agent.NewKeyring()
	ts.Check(keys.Add(agent.AddedKey{PrivateKey: private}))
	lent, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { _ = lent.Close() })
	go func() { // until the script ends
		for conn, err := lent.Accept(); err == nil; conn, err = lent.Accept() {
			go func() { _ = agent.ServeAgent(keys, conn) }()
		}
	}()
	own, err := ssh.NewSignerFromKey(private)
	ts.Check(err)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(own.PublicKey().Marshal()) {
			return nil, fmt.Errorf("a stranger")
		}
		return nil, nil
	}}
	_, host, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	hostKey, err := ssh.NewSignerFromKey(host)
	ts.Check(err)
	config.AddHostKey(hostKey)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = server.Close() })
	go func() { // until the script ends
		for conn, err := server.Accept(); err == nil; conn, err = server.Accept() {
			go letIn(conn, config)
		}
	}()
	ts.Setenv(args[1], portOf(ts, server.Addr()))
}

func letIn(conn net.Conn, config *ssh.ServerConfig) {
	client, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go func() {
		for c := range channels {
			_ = c.Reject(ssh.Prohibited, "nothing of the kind")
		}
	}()
	for r := range requests {
		_ = r.Reply(true, []byte(client.User()+" is let in"))
	}
}

// datagrams VARIABLE keeps what comes to a UDP port of this computer, which is
// in the variable. datagrams alone fails if anything came but what it sends
// itself.
func datagrams() func(*testscript.TestScript, bool, []string) {
	heard := map[string]chan string{} // by the port
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) > 0 {
			conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
			ts.Check(err)
			ts.Defer(func() { _ = conn.Close() })
			came := make(chan string, 100)
			go func() { // until the script ends
				buffer := make([]byte, 2048)
				for n, _, err := conn.ReadFrom(buffer); err == nil; n, _, err = conn.ReadFrom(buffer) {
					came <- string(buffer[:n])
				}
			}()
			ts.Setenv(args[0], portOf(ts, conn.LocalAddr()))
			heard[ts.Getenv(args[0])] = came
			return
		}
		port := ts.Getenv("UDP_PORT")
		conn, err := net.Dial("udp4", "127.0.0.1:"+port)
		ts.Check(err)
		defer conn.Close()
		_, err = conn.Write([]byte("control"))
		ts.Check(err)
		var all []string
		for !slices.Contains(all, "control") {
			select {
			case text := <-heard[port]:
				all = append(all, text)
			case <-time.After(10 * time.Second):
				ts.Fatalf("the listener hears nothing at all")
			}
		}
		if len(all) != 1 {
			ts.Fatalf("the listener heard %q", all)
		}
	}
}
