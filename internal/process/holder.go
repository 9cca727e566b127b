package process

import (
	"fmt"
	"strings"

	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// Holder says who listens on a host port: `nginx (process 812)`. It is "" if
// nobody can be found, because nobody does or because we may not see it.
func Holder(address string, port int, protocol string) string {
	sockets, err := net.Connections(protocol)
	if err != nil {
		return ""
	}
	for _, s := range sockets {
		listens := s.Status == "LISTEN" || strings.HasPrefix(protocol, "udp")
		if int(s.Laddr.Port) != port || !listens || s.Pid == 0 || !collides(s.Laddr.IP, address) {
			continue
		}
		p, err := process.NewProcess(s.Pid)
		if err != nil {
			continue
		}
		name, err := p.Name()
		if err != nil {
			name = "a process"
		}
		return fmt.Sprintf("%s (process %d)", name, s.Pid)
	}
	return ""
}

// collides reports whether listening on both addresses is impossible.
func collides(a, b string) bool { return a == b || everywhere(a) || everywhere(b) }

func everywhere(address string) bool {
	return address == "0.0.0.0" || address == "::" || address == "*" || address == ""
}
