package spec

import (
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// share reads one share block.
func (i *instance) share(b *block) {
	s := Share{}
	v, ok := i.known(b, "guest", "", cty.String)
	if ok {
		s.Guest = v.AsString()
		if detail := badGuestPath(s.Guest); detail != "" {
			i.wrong(b, "guest", "Invalid path", "%s", detail)
			ok = false
		}
	}
	attribute := s.Attribute()
	host, state := i.text(b, "host", attribute)
	if s.Host = host; state == present {
		if detail := badHostPath(host); detail != "" {
			i.wrong(b, "host", "Invalid path", "%s", detail)
		}
	}
	if v, state := i.get(b, "read_only", attribute, cty.Bool); state == present {
		s.ReadOnly = v.True()
	}
	i.shareType(b, &s)
	if v, ok := i.known(b, "allow_sensitive", "", cty.Bool); ok {
		s.AllowSensitive = v.True()
	}
	if v, ok := i.known(b, "project", "", cty.Bool); ok {
		s.Project = v.True()
	}
	for _, p := range i.words(b, "protect", "") {
		if detail := badProtected(p); detail != "" {
			i.wrong(b, "protect", "Invalid pattern", "%s", detail)
		}
		s.Protect = append(s.Protect, p)
	}
	slices.Sort(s.Protect)
	s.Protect = slices.Compact(s.Protect)
	if s.Type == ShareVirtiofs && len(s.Protected()) > 0 {
		i.wrong(b, "type", "Paths that cannot be protected", "virtiofs cannot keep protected paths from the guest. Take out \"type\", or \"project\" and \"protect\".")
	}
	if !ok {
		return
	}
	i.vm.Origins[attribute] = position(b.at)
	i.checkSeededShare(b, s)
	for _, other := range i.vm.Shares {
		if other.Guest == s.Guest {
			i.failed = true
			i.fail(b.at, "Duplicate share", "%s shows %q in %s already. Give one of the two another guest path.", i.address, other.Host, s.Guest)
			return
		}
	}
	i.vm.Shares = append(i.vm.Shares, s)
}

// The ways in which a guest has a share.
const (
	Share9P       = "9p"       // each access asks the host
	ShareVirtiofs = "virtiofs" // likewise, by virtiofsd
	ShareSync     = "sync"     // it has a copy, which follows the host's directory
)

// shareType reads the way in which the guest is to have a share.
func (i *instance) shareType(b *block, s *Share) {
	v, ok := i.known(b, "type", "", cty.String)
	if !ok || v.AsString() == "auto" {
		return
	}
	s.Type = v.AsString()
	names := []string{"auto", Share9P, ShareVirtiofs, ShareSync}
	if !slices.Contains(names, s.Type) {
		i.wrong(b, "type", "Unknown type", "There is no share of type %q.%s They are %s.", s.Type, didYouMean("", s.Type, names), listed(names))
	}
}

// HostIn is the directory of the host, absolute if the project's is.
func (s Share) HostIn(project string) string {
	if filepath.IsAbs(s.Host) {
		return s.Host
	}
	return filepath.Join(project, s.Host)
}

// Way is the way in which the guest has the share: one that neither the file nor
// the driver chose, as before there was a choice, is over 9p.
func (s Share) Way() string {
	if s.Type == "" {
		return Share9P
	}
	return s.Type
}

func badGuestPath(p string) string {
	clean := path.Clean("/" + p)
	switch {
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' }):
		return `It contains a control character. Write a path such as "/srv/www".`
	case p == "" || clean == "/":
		return `A share needs a directory of its own in the guest. Write a path such as "/srv/www".`
	case clean != p:
		return `A path in the guest is absolute and without detours. Write: guest = "` + clean + `"`
	}
	return ""
}

func badHostPath(p string) string {
	switch {
	case p == "":
		return `It is empty. Write a directory, relative to the project or absolute: host = "."`
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' }):
		return `It contains a control character. Write a path such as "./site".`
	case p == "~" || strings.HasPrefix(p, "~/"):
		return `"~" is not expanded, so that a stack means the same to everyone. Write a path relative to the project, or pass an absolute one in a variable.`
	}
	return ""
}

func badProtected(p string) string {
	plain := strings.TrimPrefix(p, "**/")
	switch {
	case plain == "" || plain == "." || strings.HasPrefix(plain, "/") || path.Clean(plain) != plain || plain == ".." || strings.HasPrefix(plain, "../"):
		return strconv.Quote(p) + ` is no path in the share. Write it relative to the share and without detours, such as ".git/hooks".`
	case strings.ContainsAny(plain, `[]\{}`) || strings.Contains(plain, "**") || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' }):
		return strconv.Quote(p) + ` is no pattern. "*" stands for any part of a name, and "**/" at the beginning for any directories. Write, for example: protect = ["*.key", "**/.env"]`
	}
	return ""
}

// Protected are all patterns of paths in the share that the guest cannot
// change. A project's are what programs of the host run without being asked, or
// read to know what to run: hooks and settings of git, those of its submodules
// and worktrees too, of shells, editors and agents, and lkup's own files. A
// share that is read-only needs none, nor does a copy.
func (s Share) Protected() []string {
	if s.ReadOnly || s.Type == ShareSync {
		return nil
	}
	if !s.Project {
		return s.Protect
	}
	all := append([]string{
		"**/.git/hooks", "**/.git/config", "**/.git/config.worktree", "**/.git/commondir",
		".git/worktrees/*/commondir", ".git/worktrees/*/config.worktree",
		".envrc", ".vscode", ".claude",
		"lkup.hcl", "*.lkup.hcl", "lkup.json", "*.lkup.json", "lkup.lock.hcl",
	}, s.Protect...)
	// A submodule's name is a path.
	for _, module := range []string{".git/modules/*", ".git/modules/*/*", ".git/modules/*/*/*"} {
		all = append(all, module+"/hooks", module+"/config", module+"/config.worktree", module+"/commondir")
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Equal reports whether two shares are the same.
func (s Share) Equal(o Share) bool {
	return s.Host == o.Host && s.Guest == o.Guest && s.ReadOnly == o.ReadOnly && s.AllowSensitive == o.AllowSensitive && s.Way() == o.Way() &&
		s.Project == o.Project && slices.Equal(s.Protect, o.Protect)
}
