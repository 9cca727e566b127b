package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// The texts below are for people, and two values differ if and only if their
// texts do: that is how the diff compares. "" stands for "not there".

func memoryText(mib int) string {
	if mib > 0 && mib%1024 == 0 {
		return strconv.Itoa(mib/1024) + "GiB"
	}
	return strconv.Itoa(mib) + "MiB"
}

// quoted is a text that may be left out; empty and absent are the same.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return strconv.Quote(s)
}

// longText tells a text of many lines by its length and a part of its digest.
func longText(s string) string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return strconv.Itoa(len(s)) + " bytes (" + hex.EncodeToString(sum[:4]) + ")"
}

func numberText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func flagText(set bool) string {
	if !set {
		return ""
	}
	return "true"
}

func wordsText(words []string) string {
	if len(words) == 0 {
		return ""
	}
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// durationText is 2m rather than 2m0s.
func durationText(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// periodText is a duration that may be left out.
func periodText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return durationText(d)
}

func kindText(kind string) string {
	if kind == "" {
		return "service"
	}
	return kind
}

// dependsText is what a VM depends on, and what that must be.
func dependsText(vm *spec.VM) string {
	words := make([]string, len(vm.DependsOn))
	for i, a := range vm.DependsOn {
		words[i] = string(a)
		if c := vm.Conditions[a]; c != "" {
			words[i] += " (" + c + ")"
		}
	}
	return strings.Join(words, ", ")
}

func healthText(h spec.Health) string {
	if h.Interval == 0 {
		return ""
	}
	words := []string{"every " + durationText(h.Interval)}
	if h.TCP != 0 {
		words = append(words, "tcp "+numberText(h.TCP))
	}
	if h.HTTP != "" {
		words = append(words, "http "+h.HTTP)
	}
	if len(h.Exec) > 0 {
		words = append(words, "exec "+strings.Join(h.Exec, " "))
	}
	return strings.Join(words, ", ")
}

func portText(p spec.Port) string {
	text := hostPortText(p.Address, p.Host)
	if p.Auto {
		text += " (auto)"
	}
	return text
}

// hostPortText is 127.0.0.1:80 or [::1]:80.
func hostPortText(address string, port int) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
		return "[" + address + "]:" + strconv.Itoa(port)
	}
	return address + ":" + strconv.Itoa(port)
}

func shareText(s spec.Share) string {
	text := strconv.Quote(s.Host) + " (" + s.Way() + ")"
	if s.ReadOnly {
		text += " (read-only)"
	}
	if s.Project {
		text += " (a project)"
	}
	if len(s.Protect) > 0 {
		text += " (protected: " + strings.Join(s.Protect, ", ") + ")"
	}
	if s.AllowSensitive {
		text += " (sensitive, and allowed)"
	}
	return text
}

func mountText(m spec.Mount) string {
	text := memoryText(m.Size)
	if m.Path != "" {
		text += " at " + m.Path
	}
	if m.ReadOnly {
		text += " (read-only)"
	}
	return text
}

// nicText is a VM's place in a network.
func nicText(n spec.NIC) string {
	_, bits, _ := strings.Cut(n.Subnet, "/")
	return n.Address + "/" + bits + ", egress " + EgressText(n.Egress)
}

// chosenText says whose choice a VM's address is.
func chosenText(n spec.NIC) string {
	if n.Auto {
		return "chosen by lkup"
	}
	return "as written"
}

// EgressText is a network's egress as people write it.
func EgressText(egress []string) string {
	if len(egress) == 0 {
		return "none"
	}
	return strings.Join(egress, " ")
}

func digestText(d sources.Digest) string {
	if !d.Valid() {
		return string(d)
	}
	return "sha256:" + d.Short()
}

// watchText is what a VM's watch blocks say.
func watchText(all []spec.Watch) string {
	texts := make([]string, len(all))
	for i, w := range all {
		texts[i] = w.String()
	}
	return strings.Join(texts, "; ")
}
