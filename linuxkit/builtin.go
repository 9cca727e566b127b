package linuxkit

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed templates/*.yml
var templates embed.FS

// Builtins are the names of the templates that lkup brings, sorted.
func Builtins() []string {
	entries, err := fs.ReadDir(templates, "templates")
	if err != nil {
		panic(err) // embedded
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), ".yml"))
	}
	return names
}

// Builtin is the YAML of a template that lkup brings.
func Builtin(name string) ([]byte, error) {
	if !slices.Contains(Builtins(), name) {
		return nil, fmt.Errorf("no builtin template %q%s: there is %s", name, didYouMean(name, Builtins()), strings.Join(Builtins(), ", "))
	}
	return templates.ReadFile("templates/" + name + ".yml")
}
