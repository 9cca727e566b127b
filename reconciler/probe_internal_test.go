package reconciler

import (
	"testing"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/spec"
)

// TestAMachineIsReadyWhenWhatItHasIsMounted: shares and volumes count, whatever
// else is waited for; a copied share is none that anybody mounts.
func TestAMachineIsReadyWhenWhatItHasIsMounted(t *testing.T) {
	share, volume := []spec.Share{{Guest: "/srv"}}, []spec.Mount{{Volume: "data", Path: "/data"}}
	for name, test := range map[string]struct {
		vm     spec.VM
		stages []guest.Stage
		waits  bool
	}{
		"nothing":                    {spec.VM{}, nil, false},
		"a copied share":             {spec.VM{Shares: []spec.Share{{Guest: "/srv", Type: spec.ShareSync}}}, nil, false},
		"a share, and SSH":           {spec.VM{Shares: share}, []guest.Stage{guest.StageSSH}, true},
		"a share that is mounted":    {spec.VM{Shares: share}, []guest.Stage{guest.StageSSH, guest.StageVolumes}, false},
		"a share, and an older init": {spec.VM{Shares: share}, []guest.Stage{guest.StageSSH, guest.StageUp}, false},
		"a volume, and SSH":          {spec.VM{Mounts: volume}, []guest.Stage{guest.StageSSH}, true},
		"a volume that is mounted":   {spec.VM{Mounts: volume}, []guest.Stage{guest.StageVolumes}, false},
		"a volume, and an old init":  {spec.VM{Mounts: volume, Shares: share}, []guest.Stage{guest.StageUp}, true},
	} {
		waits := false
		for _, p := range probesOf(test.vm, true) {
			for _, stage := range test.stages {
				p.hear(guest.Marker(stage))
			}
			waits = waits || p.name == mountsProbeName && p.try(t.Context(), nil) != nil
		}
		if waits != test.waits {
			t.Errorf("%s: it waits: %v, want %v", name, waits, test.waits)
		}
	}
}
