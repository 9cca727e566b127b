package linuxkit

import (
	"reflect"
	"slices"
)

// Keys are all keys that a template may have, each once, sorted.
func Keys() []string {
	var keys []string
	var collect func(t reflect.Type)
	collect = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[custom]()) {
			return
		}
		for name, index := range structFields(t) {
			keys = append(keys, name)
			collect(t.FieldByIndex(index).Type)
		}
	}
	collect(reflect.TypeFor[template]())
	slices.Sort(keys)
	return slices.Compact(keys)
}
