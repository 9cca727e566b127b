package ssh

import (
	"fmt"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/seed"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// writeDisc writes the disk from which an image that is not lkup's takes its
// settings. It stays as long as the machine: whoever starts it again needs the
// same disks.
func (a Access) writeDisc(m drivers.Machine, vm spec.VM, k keys) error {
	var files []seed.File
	var err error
	if vm.Seed.Cloud() {
		c := a.settings(m, vm, k)
		c.AuthorizedKeys = append(c.AuthorizedKeys, vm.Seed.AuthorizedKeys...)
		files, err = seed.CloudFiles(c, seed.Cloud{Instance: m.ID, User: vm.Seed.User, UserData: vm.Seed.UserData, HostKey: publicLine(k.host)})
	} else {
		files, err = seed.MetadataFiles(guest.Config{Hostname: m.Name}, vm.Seed.Metadata)
	}
	if err != nil {
		return err
	}
	disc, err := seed.Disc(files)
	if err != nil {
		return fmt.Errorf("write the seed: %w", err)
	}
	return state.WriteFile(m.Disc, disc, 0o600)
}
