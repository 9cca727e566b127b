package linuxkit

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"go.yaml.in/yaml/v3"
)

// decoder turns YAML nodes into Go values and collects every mistake. Field
// names are those of the json tags, because the types of the OCI runtime
// specification carry no others; so no field of theirs is dropped, as
// LinuxKit's own decoder drops some.
type decoder struct {
	file     string
	vars     map[string]string
	used     map[string]bool
	places   map[string]Position // of each value, by its name
	mistakes Mistakes
}

func newDecoder(file string, vars map[string]string) *decoder {
	return &decoder{file: file, vars: vars, used: map[string]bool{}, places: map[string]Position{}}
}

// custom is a value that decodes itself.
type custom interface {
	decodeNode(d *decoder, node *yaml.Node, where string)
}

func (d *decoder) at(node *yaml.Node) Position {
	return Position{File: d.file, Line: node.Line, Column: node.Column}
}

func (d *decoder) mistake(node *yaml.Node, format string, args ...any) {
	d.mistakes = append(d.mistakes, Mistake{At: d.at(node), Text: fmt.Sprintf(format, args...)})
}

// decode fills into, which can be set, from node. where names it: "services[0].env".
func (d *decoder) decode(node *yaml.Node, into reflect.Value, where string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	d.places[where] = d.at(node)
	if value, ok := into.Addr().Interface().(custom); ok {
		value.decodeNode(d, node, where)
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		if !d.null(node, where) {
			value := reflect.New(into.Type().Elem())
			d.decode(node, value.Elem(), where)
			into.Set(value)
		}
	case reflect.Struct:
		d.decodeStruct(node, into, where)
	case reflect.Slice:
		d.decodeSlice(node, into, where)
	case reflect.Map:
		d.decodeMap(node, into, where)
	default:
		d.decodeScalar(node, into, where)
	}
}

func (d *decoder) null(node *yaml.Node, where string) bool {
	if node.Kind != yaml.ScalarNode || node.Tag != "!!null" {
		return false
	}
	d.mistake(node, "%s has no value: remove it, or give it one", where)
	return true
}

// describe names a node's type for people.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.Tag {
	case "!!int", "!!float":
		return "the number " + node.Value
	case "!!bool":
		return "the boolean " + node.Value
	case "!!null":
		return "nothing"
	}
	return fmt.Sprintf("the string %q", node.Value)
}

func (d *decoder) decodeStruct(node *yaml.Node, into reflect.Value, where string) {
	if node.Kind != yaml.MappingNode {
		if !d.null(node, where) {
			d.mistake(node, "%s: expected a mapping, found %s", where, describe(node))
		}
		return
	}
	fields := structFields(into.Type())
	if at := into.FieldByName("At"); at.IsValid() {
		at.Set(reflect.ValueOf(d.at(node)))
	}
	for _, pair := range d.pairs(node) {
		index, known := fields[pair.key.Value]
		if !known {
			names := sortedKeys(fields)
			d.mistake(pair.key, "unknown key %q in %s%s", pair.key.Value, where, didYouMean(pair.key.Value, names))
			continue
		}
		d.decode(pair.value, into.FieldByIndex(index), join(where, pair.key.Value))
	}
}

func join(where, key string) string {
	if where == root {
		return key
	}
	return where + "." + key
}

// root is how the whole document is named.
const root = "the template"

// structFields maps the keys of a struct, those of embedded ones included.
func structFields(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	allowed, restricted := linuxkitKeys()[t]
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "blockIO" {
			name = "blockio" // LinuxKit's own spelling
		}
		if name != "" && name != "-" && field.IsExported() && (!restricted || slices.Contains(allowed, name)) {
			fields[name] = field.Index
		}
	}
	return fields
}

// linuxkitKeys are what LinuxKit's schema allows of those types of the OCI
// runtime specification that have more.
func linuxkitKeys() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[specs.Mount]():          {"destination", "type", "source", "options"},
		reflect.TypeFor[specs.LinuxResources](): {"devices", "memory", "cpu", "pids", "blockio", "hugepageLimits", "network"},
		reflect.TypeFor[specs.LinuxMemory]():    {"limit", "reservation", "swap", "kernel", "kernelTCP", "swappiness", "disableOOMKiller"},
		reflect.TypeFor[specs.LinuxCPU]():       {"shares", "quota", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems"},
	}
}

type pair struct{ key, value *yaml.Node }

// pairs are the keys of a mapping, merge keys resolved: what stands in the
// mapping itself wins.
func (d *decoder) pairs(node *yaml.Node) []pair {
	var own, merged []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.mistake(key, "a key must be a word, found %s", describe(key))
		case key.Tag == "!!merge":
			merged = append(merged, d.merged(value)...)
		case seen[key.Value]:
			d.mistake(key, "%q is given twice", key.Value)
		default:
			seen[key.Value] = true
			own = append(own, pair{key, value})
		}
	}
	for _, p := range merged {
		if !seen[p.key.Value] {
			seen[p.key.Value] = true
			own = append(own, p)
		}
	}
	return own
}

func (d *decoder) merged(value *yaml.Node) []pair {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	switch value.Kind {
	case yaml.MappingNode:
		return d.pairs(value)
	case yaml.SequenceNode:
		var all []pair
		for _, item := range value.Content {
			all = append(all, d.merged(item)...)
		}
		return all
	default:
		d.mistake(value, "<<: expected a mapping, found %s", describe(value))
		return nil
	}
}

func (d *decoder) decodeSlice(node *yaml.Node, into reflect.Value, where string) {
	if node.Kind != yaml.SequenceNode {
		if !d.null(node, where) {
			d.mistake(node, "%s: expected a list, found %s%s", where, describe(node), asList(node))
		}
		return
	}
	list := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		d.decode(item, list.Index(i), fmt.Sprintf("%s[%d]", where, i))
	}
	into.Set(list)
}

// asList is a phrase that shows how to write a single value as a list.
func asList(node *yaml.Node) string {
	if node.Kind != yaml.ScalarNode {
		return ""
	}
	return fmt.Sprintf("; write [%s]", strings.TrimSpace(node.Value))
}

func (d *decoder) decodeMap(node *yaml.Node, into reflect.Value, where string) {
	if node.Kind != yaml.MappingNode {
		if !d.null(node, where) {
			d.mistake(node, "%s: expected a mapping, found %s", where, describe(node))
		}
		return
	}
	values := reflect.MakeMap(into.Type())
	for _, pair := range d.pairs(node) {
		value := reflect.New(into.Type().Elem()).Elem()
		d.decode(pair.value, value, join(where, pair.key.Value))
		values.SetMapIndex(reflect.ValueOf(pair.key.Value), value)
	}
	into.Set(values)
}

func (d *decoder) decodeScalar(node *yaml.Node, into reflect.Value, where string) {
	if d.null(node, where) {
		return
	}
	want := map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false"}[into.Kind()]
	if want == "" {
		want = "a whole number"
	}
	if node.Kind != yaml.ScalarNode {
		d.mistake(node, "%s: expected %s, found %s", where, want, describe(node))
		return
	}
	text, expanded := d.expand(node)
	if into.Kind() == reflect.String && node.Tag != "!!str" && !expanded {
		d.mistake(node, "%s: expected a string, found %s; write %q", where, describe(node), node.Value)
		return
	}
	if !setScalar(into, text) || into.Kind() != reflect.String && node.Tag == "!!str" && !expanded {
		d.mistake(node, "%s: expected %s, found %s", where, want, describe(node))
	}
}

func setScalar(into reflect.Value, text string) bool {
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
		return true
	case reflect.Bool:
		into.SetBool(text == "true")
		return text == "true" || text == "false"
	case reflect.Int, reflect.Int64, reflect.Int32:
		n, err := strconv.ParseInt(text, 0, into.Type().Bits())
		into.SetInt(n)
		return err == nil
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16:
		n, err := strconv.ParseUint(text, 0, into.Type().Bits())
		into.SetUint(n)
		return err == nil
	default:
		panic(fmt.Sprintf("linuxkit: no decoder for %s", into.Type()))
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
