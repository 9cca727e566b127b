package linuxkit

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/lkup/lkup/spec"
)

// About is what a template says of itself and asks for.
type About struct {
	// Summary is the first sentence of the comment that the file begins with.
	Summary string
	// Memory is what a machine of it needs, as a line of that comment says it
	// ("# memory: 1GiB"); empty if none does.
	Memory string
	// Variables are in the order of their names.
	Variables []Variable
}

// Variable is a variable that a template refers to. One without a default
// anywhere must be given.
type Variable struct {
	Name     string
	Required bool
	Default  string   // of the first place that has one
	At       Position // the first place
}

var memoryLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^memory:\s*(\S+)$`)
})

// ReadAbout reads what a template says of itself, without its variables'
// values. file is the file's name in mistakes; its error is a [Mistakes].
func ReadAbout(file string, content []byte) (About, error) {
	d := newDecoder(file, nil)
	root := d.document(content)
	if root == nil {
		return About{}, d.mistakes.sorted()
	}
	about := headComment(content)
	byName := map[string]Variable{}
	d.eachValue(root, func(node *yaml.Node) {
		for _, match := range variable().FindAllStringSubmatch(node.Value, -1) {
			if name := match[1]; name != "" {
				byName[name] = merged(byName[name], Variable{Name: name, Required: match[2] == "", Default: match[3], At: d.at(node)})
			}
		}
	})
	for _, name := range sortedKeys(byName) {
		about.Variables = append(about.Variables, byName[name])
	}
	return about, nil
}

// merged adds another place of a variable: it is required if any place has no
// default.
func merged(known, more Variable) Variable {
	if known.Name == "" {
		return more
	}
	if known.Default == "" && !more.Required {
		known.Default = more.Default
	}
	known.Required = known.Required || more.Required
	return known
}

// eachValue visits the scalars that variables are replaced in: values, not
// keys.
func (d *decoder) eachValue(node *yaml.Node, visit func(*yaml.Node)) {
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		if child.Kind == yaml.ScalarNode {
			visit(child)
		}
		d.eachValue(child, visit)
	}
}

// headComment reads the lines at the top of the file that begin with "#".
func headComment(content []byte) About {
	var about About
	var words []string
	for line := range strings.Lines(string(content)) {
		text, isComment := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !isComment {
			break
		}
		text = strings.TrimSpace(text)
		if match := memoryLine().FindStringSubmatch(text); match != nil {
			about.Memory = match[1]
			continue
		}
		words = append(words, strings.Fields(text)...)
	}
	end := slices.IndexFunc(words, func(word string) bool { return strings.HasSuffix(word, ".") || strings.HasSuffix(word, ":") })
	about.Summary = strings.TrimRight(strings.Join(words[:end+1], " "), ".:")
	if end < 0 {
		about.Summary = strings.Join(words, " ")
	}
	return about
}

// Text is the YAML of a template, and what a person calls its file.
func (b *Builder) Text(img spec.Image) (name string, text []byte, err error) {
	if img.Template == nil {
		return "", nil, fmt.Errorf("%s is no template", img.Address)
	}
	b, img = b.home(img)
	if name, text, err = b.text(*img.Template); err != nil {
		return "", nil, err
	}
	return path.Join(b.shown, name), text, nil
}
