package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

func saved() planner.Saved {
	plan := planner.New(scenarios()["ports-swapped"].input())
	return planner.Saved{
		Version: "0.1.0", Stack: "shop", StackID: "shop-1a2b3c4d", Project: "/home/me/shop",
		Lineage: "l", Serial: 7, Files: map[string]string{"lkup.hcl": "00ff"},
		Images: map[spec.Address]spec.Image{"image.x": {Address: "image.x", Source: "file:x.raw"}},
		Plan:   *plan,
	}
}

func TestSavedPlanComesBack(t *testing.T) {
	want := saved()
	content, err := planner.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := planner.Decode(content)
	if err != nil {
		t.Fatal(err)
	}
	want.FormatVersion = planner.SavedFormat
	// Where attributes were written stands in the changes.
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(spec.VM{}, "Origins", "Unknown")); diff != "" {
		t.Error(diff)
	}
	again, err := planner.Encode(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(content), string(again)); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	plan := func(p string) string { return fmt.Sprintf(`{"format_version": 1, "plan": %s}`, p) }
	tests := []struct{ name, content, want string }{
		{"nothing", "", "no saved plan"},
		{"a stack file", `vm "a" {}`, "no saved plan"},
		{"other JSON", `{"a": 1}`, "no saved plan"},
		{"a newer format", `{"format_version": 2, "lkup_version": "9.1"}`, "made by lkup 9.1 in format 2"},
		{"a field it does not know", plan(`{"live": true}`), `unknown field "live"`},
		{"an op of no step", plan(`{"steps": [], "ops": [{"step": 0, "phase": "up"}]}`), "step 0, which is not there"},
		{"an op that waits for itself", plan(`{"steps": [{"address": "vm.a", "action": "delete", "id": "1"}],
			"ops": [{"step": 0, "phase": "down", "after": [0]}]}`), "does not come before it"},
		{"a half that the action has not", plan(`{"steps": [{"address": "vm.a", "action": "delete", "id": "1"}],
			"ops": [{"step": 0, "phase": "up"}]}`), `no phase "up" in its delete`},
		{"a creation of nothing", plan(`{"steps": [{"address": "vm.a", "action": "create"}]}`), "says not what it shall be"},
		{"a creation of another", plan(`{"steps": [{"address": "vm.a", "action": "create", "want": {"address": "vm.b"}}]}`), "shall become vm.b"},
		{"a stray action", plan(`{"steps": [{"address": "vm.a", "action": "explode"}]}`), `unknown action "explode"`},
		{"no ID", plan(`{"steps": [{"address": "vm.a", "action": "delete"}]}`), "has no ID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := planner.Decode([]byte(tt.content))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	content, err := planner.Encode(saved())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := planner.Decode(content)
		if err != nil {
			return
		}
		for at, op := range s.Plan.Ops { // as an executor reads it
			_ = s.Plan.Steps[op.Step]
			for _, before := range op.After {
				if before >= at {
					t.Errorf("op %d waits for %d", at, before)
				}
			}
		}
		if _, err := planner.Encode(s); err != nil {
			t.Error(err)
		}
	})
}
