package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/dns/dnsmessage"
)

// switchesOf finds lkup's own processes that carry the networks of a directory.
func switchesOf(dir string) []int {
	return processesThat(func(words []string, environ string) bool {
		return len(words) > 1 && words[1] == "switch" && strings.Contains(environ, dir)
	})
}

// switchesRun N waits until so many processes carry the script's networks.
func switchesRun(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	eventually(ts, args[0]+" switches", func() bool { return len(switchesOf(ts.Getenv("WORK"))) == want })
}

// kill9Switch kills the script's switch.
func kill9Switch(ts *testscript.TestScript, _ bool, _ []string) {
	found := switchesOf(ts.Getenv("WORK"))
	if len(found) != 1 {
		ts.Fatalf("switches: %v, want one", found)
	}
	ts.Check(syscall.Kill(found[0], syscall.SIGKILL))
	eventually(ts, "it is gone", func() bool { return syscall.Kill(found[0], 0) != nil })
}

// says PORT TEXT sends a text to a UDP port of the host until it comes back.
func says(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := net.Dial("udp", "127.0.0.1:"+args[0])
	ts.Check(err)
	defer conn.Close()
	back := make([]byte, 1500)
	eventually(ts, "port "+args[0]+" says "+args[1], func() bool {
		_, _ = fmt.Fprintln(conn, args[1]) // a packet may be lost
		ts.Check(conn.SetReadDeadline(time.Now().Add(time.Second)))
		n, err := conn.Read(back)
		return err == nil && string(back[:n]) == args[1]+"\n"
	})
}

// program FILE [PACKAGE] builds a program for guests, that of testdata/udp by default.
func program(ts *testscript.TestScript, _ bool, args []string) {
	source := append(args, "./testdata/udp")[1]
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", ts.MkAbs(args[0]), source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	said, err := cmd.CombinedOutput()
	if err != nil {
		ts.Fatalf("build: %v\n%s", err, said)
	}
}

// outside HOST OPEN SHUT gives an address that is not the host's own but that the
// host reaches, as guests see the world, and two ports of it, for the rest of the
// script: each sends back what it is sent, over TCP and UDP. It takes root.
func outside(ts *testscript.TestScript, neg bool, args []string) {
	freePort(ts, neg, args[1:2])
	freePort(ts, neg, args[2:3])
	open, err := strconv.Atoi(ts.Getenv(args[1]))
	ts.Check(err)
	host := fmt.Sprintf("198.18.%d.%d", open>>8, open&0xff) // of RFC 2544, for tests
	route := func(what string) {
		if said, err := exec.Command("ip", "route", what, "local", host, "dev", "lo").CombinedOutput(); err != nil {
			ts.Fatalf("%s a route to %s: %v\n%s", what, host, err, said)
		}
	}
	route("add")
	ts.Defer(func() { route("del") })
	ts.Setenv(args[0], host)
	for _, variable := range args[1:] {
		where := net.JoinHostPort(host, ts.Getenv(variable))
		listener, err := net.Listen("tcp", where)
		ts.Check(err)
		ts.Defer(func() { listener.Close() })
		packets, err := net.ListenPacket("udp", where)
		ts.Check(err)
		ts.Defer(func() { packets.Close() })
		go sendBack(listener)
		go sendPacketsBack(packets)
	}
}

// sendBack lasts as long as the listener.
func sendBack(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// sendPacketsBack lasts as long as the socket.
func sendPacketsBack(conn net.PacketConn) {
	content := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(content)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(content[:n], from) // packets may be lost
	}
}

// resolver VARIABLE NAME ADDRESS [NAME ADDRESS]... is a DNS server that knows
// these names, for the rest of the script.
func resolver(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { conn.Close() })
	ts.Setenv(args[0], conn.LocalAddr().String())
	known := map[string][4]byte{}
	for at := 1; at < len(args); at += 2 {
		known[args[at]+"."] = netip.MustParseAddr(args[at+1]).As4()
	}
	go func() {
		question := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(question[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeNameError, nil
			if address, knows := known[q.Name.String()]; knows {
				m.RCode = dnsmessage.RCodeSuccess
				if q.Type == dnsmessage.TypeA {
					m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}, Body: &dnsmessage.AResource{A: address}}}
				}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from) // packets may be lost
			}
		}
	}()
}
