package main

import (
	"fmt"

	"github.com/pkg/sftp"

	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// line is a connection that is kept for the next change: to make one takes an
// emulated guest longer than most changes do.
type line struct {
	run   string
	conn  *ssh.Conn
	files *sftp.Client // over conn, as is repeating; nil until it is needed

	repeating *repeating
}

// runOf tells one run of a machine from the next.
func runOf(i state.Instance) string { return fmt.Sprint(i.ID, i.Proven.PID, i.Proven.Started) }

// reach gives the connection to a machine of the stack. It stays the
// follower's; whoever sees it fail drops it.
func (f *follower) reach(known state.State, a spec.Address) (*ssh.Conn, error) {
	run := runOf(known.Instances[a])
	if l, there := f.lines[a]; there {
		if l.run == run && l.conn.Alive(f.call.ctx) {
			return l.conn, nil
		}
		f.drop(a)
	}
	r, err := pick(f.call.Host, f.paths, known, string(a))
	if err != nil {
		return nil, err
	}
	conn, err := dial(f.call, r)
	if err != nil {
		return nil, err
	}
	f.lines[a] = line{run: run, conn: conn}
	return conn, nil
}

// reachFiles gives the way to the files of a machine of the stack, likewise.
func (f *follower) reachFiles(known state.State, a spec.Address) (*sftp.Client, error) {
	conn, err := f.reach(known, a)
	if err != nil {
		return nil, err
	}
	l := f.lines[a]
	if l.files == nil {
		if l.files, err = conn.SFTP(); err != nil {
			return nil, fmt.Errorf("copy files to %s: %w", a, err)
		}
		f.lines[a] = l
	}
	return l.files, nil
}

// drop closes the connection to a machine, if there is one.
func (f *follower) drop(a spec.Address) {
	if l, there := f.lines[a]; there {
		_ = l.conn.Close() // nothing was left to say over it
		delete(f.lines, a)
	}
}

// hangUp closes all connections.
func (f *follower) hangUp() {
	for _, a := range sortedKeys(f.lines) {
		f.drop(a)
	}
}
