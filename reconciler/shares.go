package reconciler

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/share"
	"github.com/lkup/lkup/spec"
)

// secretDirs hold keys that open other computers. What lies below them, and
// what they lie in, is no more for guests than they are.
var secretDirs = []string{".ssh", ".gnupg", ".aws", ".kube"}

// ShareProblem says what is wrong with a share of this host, and what to type;
// both are "" if nothing is. home is the user's home directory.
func ShareProblem(s spec.Share, project, home string) (summary, hint string) {
	dir := s.Host
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(project, dir)
	}
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "No such directory", fmt.Sprintf("The share for %s is %q, which is not there. Make it, or change: host = ...", s.Guest, s.Host)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(real)
	}
	if err != nil {
		return "Directory cannot be shared", fmt.Sprintf("The share for %s cannot be looked at: %s.", s.Guest, err)
	}
	if what := sensitive(real, home, info); what != "" && !s.AllowSensitive {
		return "Sensitive share", fmt.Sprintf("The share for %s is %q, %s: whoever breaks into the guest has it too. Share a directory below it; if it must be this one, add: allow_sensitive = true", s.Guest, s.Host, what)
	}
	if !info.IsDir() {
		return "Not a directory", fmt.Sprintf("The share for %s is %q, which is no directory. Share the directory that it is in.", s.Guest, s.Host)
	}
	if patterns := s.Protected(); len(patterns) > 0 {
		if err := share.Enforceable(real, patterns); err != nil {
			return "Paths that cannot be protected", fmt.Sprintf("The share for %s cannot keep its protected paths from the guest: %s. Or take out \"project\" and \"protect\", and write: read_only = true", s.Guest, err)
		}
	}
	return "", ""
}

// sensitive says what a path is that guests should not have, or "".
func sensitive(path, home string, info fs.FileInfo) string {
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	parent := filepath.Dir(path)
	switch {
	case parent == path:
		return "the whole file system"
	case info.Mode().Type() == fs.ModeSocket:
		return "a socket"
	case path == "/run" || path == "/var/run" || parent == "/run/user":
		return "where sockets are"
	case home != "" && path == home, parent == "/home", parent == "/Users", path == "/root":
		return "a home directory"
	case home != "" && strings.HasPrefix(home, path+string(filepath.Separator)):
		return "where home directories are"
	}
	for _, part := range strings.Split(path, string(filepath.Separator)) {
		if slices.Contains(secretDirs, part) {
			return "where keys are"
		}
	}
	return ""
}
