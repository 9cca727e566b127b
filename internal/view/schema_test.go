package view_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lkup/lkup/internal/view"
)

// TestTheSchemaIsPublished keeps docs/lkup.schema.json, and proves that it
// takes what lkup takes and refuses what lkup refuses.
func TestTheSchemaIsPublished(t *testing.T) {
	var now bytes.Buffer
	if err := view.Schema(&now); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "lkup.schema.json")
	if *update {
		if err := os.WriteFile(path, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	published, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(now.String(), string(published)); diff != "" {
		t.Errorf("%s; to mend it: go test ./internal/view -run Published -update (-is +published)\n%s", path, diff)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(published))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("lkup.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("lkup.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		stack string
		valid bool
	}{
		{`{"vm": {"web": {"image": "builtin:minimal", "cpus": 2, "memory": "${var.m}", "port": [{"guest": 80}, {"guest": "${var.p}", "host": "auto"}]}}}`, true},
		{`{"stack": {"shop": {}}, "//": "a comment", "variable": {"m": {"default": "1GiB"}}, "locals": {"a": [1, 2]}}`, true},
		{`{"vm": {"web": {"image": "builtin:minimal", "dynamic": {"port": {"for_each": [80], "content": {"guest": "${port.value}"}}}}}}`, true},
		{`{"module": {"m": {"source": "./m", "anything": true}}, "moved": [{"from": "vm.a", "to": "vm.b"}]}`, true},
		{`{"vm": {"web": {"image": "builtin:minimal", "memroy": "1GiB"}}}`, false},
		{`{"vm": {"web": {}}}`, false},
		{`{"vm": {"web": {"image": "builtin:minimal", "port": {"host": 80}}}}`, false},
		{`{"machine": {"web": {}}}`, false},
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(test.stack))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(value); (err == nil) != test.valid {
			t.Errorf("%s: %v", test.stack, err)
		}
	}
}
