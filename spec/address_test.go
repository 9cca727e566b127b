package spec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/spec"
)

func TestAddressCovers(t *testing.T) {
	tests := []struct {
		a, b spec.Address
		want bool
	}{
		{"vm.web", "vm.web", true},
		{"vm.web", `vm.web["blue"]`, true},
		{"vm.web", "vm.web[0]", true},
		{`vm.web["blue"]`, `vm.web["blue"]`, true},
		{`vm.web["blue"]`, `vm.web["green"]`, false},
		{`vm.web["blue"]`, "vm.web", false},
		{"vm.web", "vm.web2", false},
		{"vm.web", "image.web", false},
		{"vm.web", `vm.web["a[0]"]`, true},
	}
	for _, tt := range tests {
		if got := tt.a.Covers(tt.b); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.a, tt.b, got)
		}
	}
}

func TestOriginFallsBackToWhatHoldsTheAttribute(t *testing.T) {
	vm := spec.VM{Origins: map[string]spec.Pos{
		"":         {Line: 1},
		"env":      {Line: 2},
		"env.A":    {Line: 3},
		"ready":    {Line: 4},
		"port[80]": {Line: 5},
	}}
	tests := map[string]int{
		"": 1, "memory": 1, "env.A": 3, "env.B": 2, "ready.timeout": 4, "port[80]": 5, "port[81]": 1, "share[/a.b]": 1,
	}
	for attr, line := range tests {
		if got := vm.Origin(attr).Line; got != line {
			t.Errorf("%q comes from line %d, want %d", attr, got, line)
		}
	}
}

func TestAttributePaths(t *testing.T) {
	got := []string{
		spec.Port{Guest: 80, Protocol: "tcp"}.Attribute(),
		spec.Port{Guest: 53, Protocol: "udp"}.Attribute(),
		spec.PortKey{Guest: 22}.Attribute(),
		spec.Share{Guest: "/srv/www"}.Attribute(),
	}
	want := []string{"port[80]", "port[53/udp]", "port[22]", "share[/srv/www]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAddressesAreSorted(t *testing.T) {
	stack := spec.Stack{VMs: map[spec.Address]spec.VM{"vm.b": {}, "vm.a": {}, `vm.a["x"]`: {}}}
	want := []spec.Address{"vm.a", `vm.a["x"]`, "vm.b"}
	if diff := cmp.Diff(want, stack.Addresses()); diff != "" {
		t.Error(diff)
	}
}
