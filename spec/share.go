package spec

import (
	"path"
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
	if v, ok := i.known(b, "allow_sensitive", "", cty.Bool); ok {
		s.AllowSensitive = v.True()
	}
	if !ok {
		return
	}
	i.vm.Origins[attribute] = position(b.at)
	for _, other := range i.vm.Shares {
		if other.Guest == s.Guest {
			i.failed = true
			i.fail(b.at, "Duplicate share", "%s shows %q in %s already. Give one of the two another guest path.", i.address, other.Host, s.Guest)
			return
		}
	}
	i.vm.Shares = append(i.vm.Shares, s)
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
