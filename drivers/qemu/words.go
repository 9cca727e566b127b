package qemu

import (
	"strconv"
	"strings"

	"github.com/lkup/lkup/drivers"
)

// settings reads back from a process's command line what args wrote there.
func settings(words []string) (ports []drivers.Port, memory int) {
	for n := 1; n < len(words); n++ {
		switch words[n-1] {
		case "-m":
			memory, _ = strconv.Atoi(strings.TrimSuffix(words[n], "M")) // 0 if somebody else wrote it
		case "-netdev":
			for option := range strings.SplitSeq(words[n], ",") {
				if rule, found := strings.CutPrefix(option, "hostfwd="); found {
					ports = append(ports, readForward(rule))
				}
			}
		}
	}
	return ports, memory
}

// readForward reads tcp:127.0.0.1:8080-:80.
func readForward(rule string) drivers.Port {
	protocol, rest, _ := strings.Cut(rule, ":")
	address, rest, _ := strings.Cut(rest, ":")
	onHost, inGuest, _ := strings.Cut(rest, "-:")
	p := drivers.Port{Protocol: protocol, Address: address}
	p.Host, _ = strconv.Atoi(onHost)
	p.Guest, _ = strconv.Atoi(inGuest)
	return p
}
