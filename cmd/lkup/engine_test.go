package main

import (
	"testing"
	"time"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

func TestANewerLkupAloneKeepsTheDigest(t *testing.T) {
	made := func(recipe string, digest sources.Digest, image spec.Address, hour int) state.Instance {
		return state.Instance{
			Recipe: recipe, Digest: digest, Applied: spec.VM{Image: image},
			AppliedAt: time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC),
		}
	}
	known := state.State{Instances: map[spec.Address]state.Instance{
		"vm.a": made("mine", "older", "template.x", 1),
		"vm.b": made("mine", "old", "template.x", 2),
		"vm.c": made("mine", "other", "template.y", 3),
		"vm.d": made("changed", "changed", "template.x", 4),
	}}
	all := func(sources.Digest) bool { return true }
	for name, tt := range map[string]struct {
		d      linuxkit.Description
		stored func(sources.Digest) bool
		want   sources.Digest
	}{
		"lkup's own parts changed":      {linuxkit.Description{Digest: "new", Key: "mine"}, all, "old"},
		"the user's parts changed":      {linuxkit.Description{Digest: "new", Key: "yours"}, all, "new"},
		"what it was made from is gone": {linuxkit.Description{Digest: "new", Key: "mine"}, func(d sources.Digest) bool { return d == "older" }, "older"},
		"nothing of it is left":         {linuxkit.Description{Digest: "new", Key: "mine"}, func(sources.Digest) bool { return false }, "new"},
		"no template":                   {linuxkit.Description{Digest: "new"}, all, "new"},
	} {
		if got := keepDigest("template.x", tt.d, known, tt.stored); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
