package spec

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Package is one version of a package of npm.
type Package struct{ Name, Version string }

// String is the form that ParsePackage reads.
func (p Package) String() string { return packageScheme + p.Name + "@" + p.Version }

const packageScheme = "npm:"

var packageForms = sync.OnceValues(func() (name, version *regexp.Regexp) {
	return regexp.MustCompile(`^(@[A-Za-z0-9~_-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*$`),
		regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
})

// ValidPackageName reports whether npm may have a package of that name.
func ValidPackageName(name string) bool {
	form, _ := packageForms()
	return len(name) <= 214 && form.MatchString(name)
}

// ParsePackage reads "npm:NAME@VERSION". The version is an exact one: what is
// installed must not differ from day to day. problem says what is wrong and
// what to type.
func ParsePackage(text string) (p Package, problem string) {
	rest, ok := strings.CutPrefix(text, packageScheme)
	if !ok {
		return Package{}, fmt.Sprintf("%q does not say where it comes from. Write a package of npm with its version, such as: install = \"npm:NAME@1.2.3\"", text)
	}
	p.Name = rest
	if at := strings.LastIndex(rest, "@"); at > 0 {
		p.Name, p.Version = rest[:at], rest[at+1:]
	}
	_, exact := packageForms()
	switch {
	case !ValidPackageName(p.Name):
		return Package{}, fmt.Sprintf("%q is no name of a package of npm. Write, for example: install = \"npm:@scope/name@1.2.3\"", p.Name)
	case p.Version == "":
		return Package{}, fmt.Sprintf("%q names no version. Write the one that you want, such as: install = \"npm:%s@1.2.3\". To see the newest, type: npm view %[2]s version", text, p.Name)
	case !exact.MatchString(p.Version):
		return Package{}, fmt.Sprintf("%q is no exact version, so what is installed could be another tomorrow. Write one, such as: install = \"npm:%s@1.2.3\". To see the newest, type: npm view %[2]s version", p.Version, p.Name)
	}
	return p, ""
}
