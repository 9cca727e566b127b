package linuxkit

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed templates
var templates embed.FS

// Builtins are the names of the templates that lkup brings, sorted. Each has a
// file in templates, of builtin: and apt: components, and one in
// templates/oci, of OCI images pinned by digest, for hosts without apt.
func Builtins() []string {
	entries, err := fs.ReadDir(templates, "templates")
	if err != nil {
		panic(err) // embedded
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, strings.TrimSuffix(entry.Name(), ".yml"))
		}
	}
	return names
}

// Builtin is the YAML of a template that lkup brings, for a host with apt or
// one without.
func Builtin(name string, apt bool) ([]byte, error) {
	if !slices.Contains(Builtins(), name) {
		return nil, fmt.Errorf("no builtin template %q%s: there is %s", name, didYouMean(name, Builtins()), strings.Join(Builtins(), ", "))
	}
	if !apt {
		return templates.ReadFile("templates/oci/" + name + ".yml")
	}
	return templates.ReadFile("templates/" + name + ".yml")
}
