package share

import (
	"path"
	"slices"
	"strings"
)

// Protected are patterns of paths relative to a directory. "*" and "?" stand
// for parts of one name, "**/" at the beginning for any directories. Letters
// count as equal in either case, for some file systems have them so.
type Protected struct{ rules []rule }

type rule struct {
	anywhere bool
	names    []string
}

// NewProtected reads patterns. They are clean paths: see [spec.Share].
func NewProtected(patterns []string) Protected {
	var p Protected
	for _, pattern := range patterns {
		pattern, anywhere := strings.CutPrefix(fold(pattern), "**/")
		p.rules = append(p.rules, rule{anywhere: anywhere, names: strings.Split(pattern, "/")})
	}
	return p
}

// Covers reports whether a path is protected: it, or a directory above it,
// matches.
func (p Protected) Covers(name string) bool {
	names := split(name)
	return slices.ContainsFunc(p.rules, func(r rule) bool {
		for at := 0; at+len(r.names) <= len(names); at++ {
			if matches(r.names, names[at:at+len(r.names)]) {
				return true
			}
			if !r.anywhere {
				break
			}
		}
		return false
	})
}

// Leads reports whether a path is a directory on the way to a protected one.
// It may be there or not, but it may be no link, no file, and not another
// directory from one moment to the next: else what is protected by its path
// would be reached by another, or be brought there ready-made.
func (p Protected) Leads(name string) bool {
	names := split(name)
	return slices.ContainsFunc(p.rules, func(r rule) bool {
		if !r.anywhere {
			return len(names) < len(r.names) && matches(r.names[:len(names)], names)
		}
		for n := 1; n < len(r.names) && n <= len(names); n++ {
			if matches(r.names[:n], names[len(names)-n:]) {
				return true
			}
		}
		return false
	})
}

func matches(patterns, names []string) bool {
	for n, pattern := range patterns {
		if matched, err := path.Match(pattern, names[n]); err != nil || !matched {
			return false
		}
	}
	return true
}

func split(name string) []string {
	if name == "" {
		return nil
	}
	return strings.Split(fold(name), "/")
}

// fold is one form of all that some file system takes for the same name. Upper
// case comes first: two capitals share a small letter, and two small letters a
// capital.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }
