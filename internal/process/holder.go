package process

import (
	"fmt"
	"net/netip"
	"os/user"
	"strings"
)

// Process is what can be told of a process that is somebody else's. What may
// not be seen is zero.
type Process struct {
	PID     int
	Name    string // of the program
	Command string // its words, separated by spaces; for people
	User    string // its owner's name, or number
}

// String is for sentences: nginx (process 812).
func (p Process) String() string {
	switch {
	case p.PID != 0 && p.Name != "":
		return fmt.Sprintf("%s (process %d)", p.Name, p.PID)
	case p.PID != 0:
		return fmt.Sprintf("process %d", p.PID)
	case p.User != "":
		return "a process of user " + p.User
	}
	return "another process"
}

// Holder finds who listens on a host's port, so that nobody else can on
// address. It finds the owner alone if that is another user's process and we
// are not root.
func Holder(address string, port int, protocol string) (Process, bool) {
	return holder(address, port, protocol)
}

// collides reports whether no two sockets can have the same port at both.
func collides(a, b string) bool {
	one, errOne := netip.ParseAddr(a)
	other, errOther := netip.ParseAddr(b)
	if errOne != nil || errOther != nil {
		return true // a name, or *
	}
	one, other = one.Unmap(), other.Unmap()
	return one == other || one.IsUnspecified() || other.IsUnspecified()
}

// describe fills in what a pid tells.
func describe(pid int) Process {
	p := Process{PID: pid, Name: name(pid)}
	if words, err := CommandLine(pid); err == nil {
		p.Command = strings.Join(words, " ")
	}
	return p
}

func userName(uid string) string {
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}
