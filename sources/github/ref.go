package github

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
)

// ref is what the user wrote, in parts.
type ref struct {
	owner, repo string
	tag         string // "latest" for the newest release
	pattern     string // a glob that one asset matches
}

const latest = "latest"

var refForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^github:([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9._-]+)(?:@([^\s]+))?/([^/]+)$`)
})

func parseRef(text string) (ref, error) {
	m := refForm().FindStringSubmatch(text)
	if m == nil || strings.Trim(m[2], ".") == "" {
		return ref{}, fmt.Errorf("%q is no GitHub ref; write github:OWNER/REPO@TAG/ASSET, where ASSET may be a pattern such as *.qcow2", text)
	}
	r := ref{owner: m[1], repo: m[2], tag: m[3], pattern: m[4]}
	if r.tag == "" {
		r.tag = latest
	}
	for part := range strings.SplitSeq(r.tag, "/") {
		if strings.Trim(part, ".") == "" {
			return ref{}, fmt.Errorf("%q is no tag; write github:OWNER/REPO@TAG/ASSET", r.tag)
		}
	}
	if _, err := path.Match(r.pattern, ""); err != nil {
		return ref{}, fmt.Errorf("%q is no pattern: close its brackets", r.pattern)
	}
	return r, nil
}

func (r ref) repository() string { return r.owner + "/" + r.repo }

func (r ref) String() string { return "github:" + r.repository() + "@" + r.tag + "/" + r.pattern }

// escaped is a tag in the path of a URL. Its slashes stay.
func escaped(tag string) string {
	parts := strings.Split(tag, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// find is the one asset that matches.
func (r ref) find(assets []asset) (asset, error) {
	var found []asset
	for _, a := range assets {
		if matches, _ := path.Match(r.pattern, a.Name); matches || a.Name == r.pattern {
			found = append(found, a)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(assets) == 0:
		return asset{}, fmt.Errorf("release %s of %s has no assets", r.tag, r.repository())
	case len(found) == 0:
		return asset{}, fmt.Errorf("no asset of release %s of %s matches %q; it has %s", r.tag, r.repository(), r.pattern, names(assets))
	}
	return asset{}, fmt.Errorf("%d assets of release %s of %s match %q: %s; write a pattern that only one of them matches", len(found), r.tag, r.repository(), r.pattern, names(found))
}

// names lists assets for people.
func names(assets []asset) string {
	const most = 30
	var all []string
	for _, a := range assets {
		if len(all) == most {
			return strings.Join(all, ", ") + fmt.Sprintf(" and %d more", len(assets)-most)
		}
		all = append(all, a.Name)
	}
	return strings.Join(all, ", ")
}
