//go:build !linux

package process

import (
	"strings"

	"github.com/shirou/gopsutil/v4/net"
)

func holder(address string, port int, protocol string) (Process, bool) {
	sockets, err := net.Connections(protocol)
	if err != nil {
		return Process{}, false
	}
	for _, s := range sockets {
		listens := s.Status == "LISTEN" || strings.HasPrefix(protocol, "udp")
		if int(s.Laddr.Port) == port && listens && s.Pid != 0 && collides(s.Laddr.IP, address) {
			return describe(int(s.Pid)), true
		}
	}
	return Process{}, false
}

func name(pid int) string {
	p, err := open(pid)
	if err != nil {
		return ""
	}
	name, err := p.Name()
	if err != nil {
		return ""
	}
	return name
}
