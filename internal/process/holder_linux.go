package process

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func holder(address string, port int, protocol string) (Process, bool) {
	for _, table := range []string{protocol, protocol + "6"} {
		for _, s := range listeners("/proc/net/"+table, protocol) {
			if s.port == port && collides(s.address, address) {
				return owner(s), true
			}
		}
	}
	return Process{}, false
}

// socket is a line of /proc/net/tcp and its like: see proc(5).
type socket struct {
	address string
	port    int
	uid     string
	inode   string
}

// The states, in hexadecimal, of a TCP socket that listens and of a UDP socket
// that is not connected to one peer: tcp_states.h.
const (
	tcpListens = "0A"
	udpListens = "07"
)

func listeners(path, protocol string) []socket {
	f, err := os.Open(path)
	if err != nil {
		return nil // no IPv6, or nothing may be seen
	}
	defer f.Close()
	state := tcpListens
	if protocol == "udp" {
		state = udpListens
	}
	var found []socket
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != state {
			continue
		}
		if s, ok := local(fields[1]); ok {
			s.uid, s.inode = fields[7], fields[9]
			found = append(found, s)
		}
	}
	return found
}

// local reads 0100007F:1F90: an address as words of the host's byte order, and
// a port.
func local(field string) (socket, bool) {
	address, port, _ := strings.Cut(field, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	raw, hexErr := hex.DecodeString(address)
	if err != nil || hexErr != nil || len(raw)%4 != 0 {
		return socket{}, false
	}
	for at := 0; at < len(raw); at += 4 {
		binary.NativeEndian.PutUint32(raw[at:], binary.BigEndian.Uint32(raw[at:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return socket{address: ip.String(), port: int(number)}, ok
}

// owner finds the process that has the socket open, or only whose it is.
func owner(s socket) Process {
	pids, err := all()
	if err != nil {
		return Process{User: userName(s.uid)}
	}
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it ended, or is another user's
		}
		for _, e := range entries {
			target, err := os.Readlink(filepath.Join(dir, e.Name()))
			if err == nil && target == "socket:["+s.inode+"]" {
				p := describe(pid)
				p.User = userName(s.uid)
				return p
			}
		}
	}
	return Process{User: userName(s.uid)}
}

// name is the program's file name: what a process calls itself may be cut
// short, and may be anything.
func name(pid int) string {
	if words, err := CommandLine(pid); err == nil && len(words) > 0 && words[0] != "" {
		return filepath.Base(words[0])
	}
	content, err := read(pid, "comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
