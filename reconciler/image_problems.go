package reconciler

import (
	"fmt"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// ImageProblems finds what is asked of a VM that its image cannot do, by
// attribute. guest says whether lkup's init runs in the image.
func ImageProblems(vm spec.VM, guest bool) map[string]error {
	all := map[string]error{}
	add := func(attribute string, err error) {
		if err != nil {
			all[attribute] = err
		}
	}
	enterable := state.Instance{Guest: guest, Applied: vm}.Enterable()
	one := vm
	one.Mounts = nil
	for _, s := range vm.Shares {
		one.Shares = []spec.Share{s}
		add(s.Attribute(), checkMounts(one, guest))
		add(s.Attribute(), checkCopies(one, enterable))
	}
	one.Shares = nil
	for _, m := range vm.Mounts {
		one.Mounts = []spec.Mount{m}
		add(m.Attribute(), checkMounts(one, guest))
	}
	add("ready", checkProbes(vm.Ready, enterable))
	add("health", checkHealth(vm.Health, enterable))
	return all
}

// checkCopies refuses shares that nobody can copy into the guest.
func checkCopies(vm spec.VM, enterable bool) error {
	for _, s := range copiedShares(vm) {
		if !enterable {
			return fmt.Errorf("a share of type %q is copied over SSH, which needs an image that runs lkup's init, or a seed or ssh block; or take the type of %s out", spec.ShareSync, s.Guest)
		}
	}
	return nil
}
