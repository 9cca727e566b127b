package linuxkit

import (
	"regexp"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// variable is $${ (a literal "${"), ${NAME}, ${NAME:-default}, or a "${" that
// is neither.
var variable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{`)
})

// expand replaces the variables in a scalar. They are replaced in values,
// after the YAML was read, so a value never changes the shape of the template
// and needs no quoting.
func (d *decoder) expand(node *yaml.Node) (text string, expanded bool) {
	if !strings.Contains(node.Value, "${") {
		return node.Value, false
	}
	text = variable().ReplaceAllStringFunc(node.Value, func(match string) string {
		if match == "$${" {
			return "${"
		}
		parts := variable().FindStringSubmatch(match)
		name := parts[1]
		if name == "" {
			d.mistake(node, "%q begins no variable; write ${NAME}, or $${ for the characters themselves", match)
			return match
		}
		expanded = true
		d.used[name] = true
		if value, ok := d.vars[name]; ok {
			return value
		}
		if parts[2] != "" {
			return parts[3]
		}
		d.mistake(node, "variable %s has no value; give it in vars, or write ${%s:-default}, or $${%s} for the characters themselves", name, name, name)
		return match
	})
	return text, expanded
}

// unusedVars reports what was given and not asked for.
func (d *decoder) unusedVars() {
	for _, name := range sortedKeys(d.vars) {
		if !d.used[name] {
			known := sortedKeys(d.used)
			d.mistakes = append(d.mistakes, Mistake{
				At:   Position{File: d.file, Line: 1, Column: 1},
				Text: "vars gives " + name + ", which the template does not use" + didYouMean(name, known),
			})
		}
	}
}
