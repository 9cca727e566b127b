package devenv

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lkup/lkup/spec"
)

// Guest is the guest's directory for one of the host: the same in the project,
// or the project's, for one that lies outside. Both are absolute, without
// symbolic links.
func Guest(project, dir string) string {
	rel, err := filepath.Rel(project, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return spec.DevenvProject
	}
	return path.Join(spec.DevenvProject, filepath.ToSlash(rel))
}

// In is a command that runs another one in a directory. Without a command, it
// is the guest's login shell.
func In(dir string, command []string) []string {
	if len(command) == 0 {
		return []string{"sh", "-c", `cd "$1" || exit; if command -v bash >/dev/null; then exec bash -l; fi; exec sh -l`, "lkup", dir}
	}
	return append([]string{"sh", "-c", `cd "$1" || exit; shift; exec "$@"`, "lkup", dir}, command...)
}

// setupMark is where a guest keeps which setup has been done. It lies beside
// what setup changes: a machine with a new disk has neither.
const setupMark = "/var/lib/lkup/setup"

// SetupID tells one list of setup commands from another.
func SetupID(lines []string) string {
	content, err := json.Marshal(lines)
	if err != nil {
		panic(err) // texts
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// SetupDone is a command that succeeds if a guest has done a setup.
func SetupDone(id string) []string {
	return []string{"sh", "-c", `test "$(cat "$1" 2>/dev/null)" = "$2"`, "lkup", setupMark, id}
}

// MarkSetup is a command that notes that a guest has done a setup.
func MarkSetup(id string) []string {
	return []string{"sh", "-c", `mkdir -p "${1%/*}" && printf %s "$2" >"$1.new" && mv "$1.new" "$1"`, "lkup", setupMark, id}
}

// Listening is a command that prints what Listeners reads.
func Listening() []string {
	return []string{"sh", "-c", "cat /proc/net/tcp /proc/net/tcp6"}
}

// tcpListen is the kernel's number for a socket that listens.
const tcpListen = "0A"

// Listeners are the TCP ports that somebody listens on, by the kernel's tables.
func Listeners(tables string) map[int]bool {
	ports := map[int]bool{}
	for line := range strings.Lines(tables) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != tcpListen {
			continue
		}
		_, text, _ := strings.Cut(fields[1], ":")
		if port, err := strconv.ParseUint(text, 16, 16); err == nil {
			ports[int(port)] = true
		}
	}
	return ports
}

// Chosen is the port of a server, of those that are listened on since it was
// started: the expected one if it is there, else the lowest; 0 for none yet.
func Chosen(before, now map[int]bool, expected int) int {
	if now[expected] {
		return expected
	}
	lowest := 0
	for port := range now {
		if !before[port] && (lowest == 0 || port < lowest) {
			lowest = port
		}
	}
	return lowest
}

// Source reports whether a file of a project is one that people write: what
// tools leave there when they run is no reason to run them again.
func Source(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "node_modules", "__pycache__", "target", "vendor", ".venv", "venv", ".pytest_cache", ".mypy_cache", ".next", "tmp", "log", "artifacts":
			return false
		}
		if strings.HasSuffix(part, "~") || strings.HasSuffix(part, ".swp") || strings.HasSuffix(part, ".log") || strings.HasSuffix(part, ".pyc") {
			return false
		}
	}
	return true
}

// With is a command with variables in its environment.
func With(env, command []string) []string {
	if len(env) == 0 {
		return command
	}
	return append(append([]string{"env"}, env...), command...)
}
