package reconciler_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// TestWhatAnImageCannotDo asks everything of each kind of image that one can
// refuse.
func TestWhatAnImageCannotDo(t *testing.T) {
	all := spec.VM{
		Shares: []spec.Share{
			{Guest: "/kept", Protect: []string{"x"}}, {Guest: "/copy", Type: spec.ShareSync}, {Guest: "/plain"},
			{Guest: "/read", Protect: []string{"x"}, ReadOnly: true},
		},
		Mounts: []spec.Mount{{Volume: "volume.data", Path: "/data"}, {Volume: "volume.raw"}},
		Ready:  spec.Ready{Exec: []string{"true"}},
		Health: spec.Health{Exec: []string{"true"}},
	}
	seeded, entered, ssh := all, all, all
	seeded.Seed = spec.Seed{User: "lkup"}
	entered.SSH = spec.Login{User: "root"}
	ssh.Ready = spec.Ready{SSH: true}
	protected := "a share with protected paths needs an image that runs lkup's init, and the one for /kept"
	everything := map[string]string{
		all.Shares[0].Attribute(): protected,
		all.Shares[1].Attribute(): "the type of /copy",
		all.Mounts[0].Attribute(): "mount.path of volume.data",
		"ready":                   "ready.exec needs",
		"health":                  "health.exec needs",
	}
	bySSH := maps.Clone(everything)
	bySSH["ready"] = "ready.ssh needs"
	for name, tt := range map[string]struct {
		vm    spec.VM
		guest bool
		want  map[string]string
	}{
		"lkup's init":     {all, true, map[string]string{}},
		"a strange disk":  {all, false, everything},
		"a probe by SSH":  {ssh, false, bySSH},
		"with cloud-init": {seeded, false, map[string]string{all.Shares[0].Attribute(): protected}},
		"with a login": {entered, false, map[string]string{
			all.Shares[0].Attribute(): protected, all.Mounts[0].Attribute(): "mount.path of volume.data",
		}},
	} {
		got := reconciler.ImageProblems(tt.vm, tt.guest)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(tt.want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for attribute, says := range tt.want {
			if err := got[attribute]; err != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %s: %v, want %q", name, attribute, err, says)
			}
		}
	}
}
