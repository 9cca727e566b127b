package linuxkit

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// allCapabilities are in the order of the kernel's numbers
// (include/uapi/linux/capability.h).
var allCapabilities = strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL
	CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN
	CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT
	CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE
	CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM
	CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

// capabilityNames are the capabilities that a list stands for; the lists
// [all] and [none] are special.
func capabilityNames(list []string) ([]string, error) {
	if len(list) == 1 {
		switch strings.ToLower(list[0]) {
		case "none":
			return nil, nil
		case "all":
			return slices.Clone(allCapabilities), nil
		}
	}
	for _, name := range list {
		if word := strings.ToLower(name); word == "all" || word == "none" {
			return nil, fmt.Errorf("%q stands alone; write [%s], or name capabilities", name, word)
		}
		if !slices.Contains(allCapabilities, name) {
			return nil, fmt.Errorf("unknown capability %q%s", name, didYouMean(name, allCapabilities))
		}
	}
	return list, nil
}

// limitNames are without their prefix RLIMIT_ (getrlimit(2)).
var limitNames = strings.Fields(`CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE
	NICE RTPRIO RTTIME`)

// rlimits reads "name,soft,hard".
func rlimits(list []string) ([]specs.POSIXRlimit, error) {
	var limits []specs.POSIXRlimit
	for _, text := range list {
		parts := strings.Split(text, ",")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%q: write name,soft,hard, as in nofile,1024,4096", text)
		}
		name := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(parts[0])), "RLIMIT_")
		if !slices.Contains(limitNames, name) {
			return nil, fmt.Errorf("%q: unknown limit%s", text, didYouMean(name, limitNames))
		}
		soft, softErr := limit(parts[1])
		hard, hardErr := limit(parts[2])
		if softErr != nil || hardErr != nil {
			return nil, fmt.Errorf("%q: a limit is a whole number or unlimited", text)
		}
		limits = append(limits, specs.POSIXRlimit{Type: "RLIMIT_" + name, Soft: soft, Hard: hard})
	}
	return limits, nil
}

func limit(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if strings.EqualFold(text, "unlimited") {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// expandedRef is ref as LinuxKit records it: with the registry and the
// library that a plain name leaves out. Refs of other schemes stay.
func expandedRef(ref string) string {
	first, rest, path := strings.Cut(ref, "/")
	scheme, _, _ := strings.Cut(first, ":")
	switch {
	case slices.Contains([]string{"apt", "builtin", "oci-layout", "docker-archive", "file"}, scheme):
		return ref
	case !path:
		return "docker.io/library/" + ref
	case strings.Contains(rest, "/") || strings.ContainsAny(first, ".:") || first == "localhost":
		return ref
	default:
		return "docker.io/" + ref
	}
}
