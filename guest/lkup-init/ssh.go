//go:build linux

package main

import (
	"maps"
	"net"
	"os"
	"slices"

	"github.com/lkup/lkup/guest/sshd"
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// home is where commands and shells start, and where paths of SFTP begin.
const home = "/root"

// serveSSH listens, and answers in the background.
func (m *machine) serveSSH() {
	if m.config.HostKey == "" || len(m.config.AuthorizedKeys) == 0 {
		m.log("no keys were given, so there is no SSH")
		return
	}
	m.try("go to "+home, os.Chdir(home))
	server, err := sshd.New(sshd.Settings{
		HostKey:        []byte(m.config.HostKey),
		AuthorizedKeys: m.config.AuthorizedKeys,
		Env:            m.environment(),
		Dir:            home,
		Shell:          shell,
		Processes:      m.children,
		Wake:           wake,
		Repeat:         repeat,
		Log:            m.log,
	})
	if err != nil {
		m.log("cannot serve SSH: %v", err)
		return
	}
	listener, err := net.Listen("tcp", ":22")
	if err != nil {
		m.log("cannot serve SSH: %v", err)
		return
	}
	go func() { m.try("serve SSH", server.Serve(listener)) }()
}

// environment is what commands and shells get.
func (m *machine) environment() []string {
	env := []string{"PATH=" + searchPath, "HOME=/root", "USER=root", "LOGNAME=root"}
	return append(env, m.settings()...)
}

// settings is the VM's own environment, as NAME=VALUE.
func (m *machine) settings() []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(m.config.Env)) {
		env = append(env, name+"="+m.config.Env[name])
	}
	return env
}

// shell finds the image's shell.
func shell() string {
	for _, path := range []string{"/bin/bash", "/bin/sh", "/usr/bin/sh"} {
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}
