package spec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/spec"
)

func TestFormat(t *testing.T) {
	tests := []struct{ name, file, src, want string }{
		{"aligns", "lkup.hcl", "vm \"a\" {\nimage=\"x\"\n  cpus = 2\n}\n", "vm \"a\" {\n  image = \"x\"\n  cpus  = 2\n}\n"},
		{"keeps comments", "a.lkup.hcl", "# why\na=1 // so\n", "# why\na = 1 // so\n"},
		{"indents JSON", "lkup.json", `{"vm":{"a":{"image":"<x>"}}}`, "{\n  \"vm\": {\n    \"a\": {\n      \"image\": \"<x>\"\n    }\n  }\n}\n"},
		{"leaves nothing alone", "lkup.hcl", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, diags := spec.Format(tt.file, []byte(tt.src))
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
			again, _ := spec.Format(tt.file, got)
			if diff := cmp.Diff(string(got), string(again)); diff != "" {
				t.Errorf("formatted twice:\n%s", diff)
			}
		})
	}
}

func TestFormatRefusesSyntaxErrors(t *testing.T) {
	for _, file := range []string{"lkup.hcl", "lkup.json"} {
		got, diags := spec.Format(file, []byte(`vm "a" {`))
		if got != nil || !diags.HasErrors() || diags[0].Subject == nil {
			t.Errorf("%s: got %q, %v", file, got, diags)
		}
	}
}
