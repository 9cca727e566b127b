package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/hyperkit"
	"github.com/lkup/lkup/drivers/qemu"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/volume"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// allDrivers are the drivers of this binary, by the name a stack file uses.
func allDrivers(host Host) map[string]drivers.Driver {
	all := map[string]drivers.Driver{
		"qemu":     qemu.New(qemu.Settings{Switch: switches{host}, FileServer: []string{host.Program, filesCommand}}),
		"hyperkit": hyperkit.New(hyperkit.Settings{Keeper: []string{host.Program, keepCommand}, Switch: switches{host}}),
	}
	if host.MoreDrivers != nil {
		for name, d := range host.MoreDrivers(host.Layout()) {
			all[name] = d
		}
	}
	return all
}

func driverNames(host Host) []string {
	return sortedKeys(allDrivers(host))
}

// chosenDriver says what "auto" means on this host.
func chosenDriver(host Host, vm spec.VM) string {
	if vm.Driver == "auto" && vm.Arch != "" {
		return "qemu" // no other emulates
	}
	if vm.Driver == "auto" {
		return host.autoDriver()
	}
	return vm.Driver
}

// chooseShares has the drivers choose how guests have the shares for which the
// stack files do not say.
func chooseShares(host Host, stack *spec.Stack) {
	all := allDrivers(host)
	for _, vm := range stack.VMs {
		sharer, able := all[chosenDriver(host, vm)].(drivers.Sharer)
		for n := range vm.Shares {
			if s := &vm.Shares[n]; able && s.Type == "" {
				s.Type, s.Why = sharer.ShareWay(*s)
			}
		}
	}
}

// newReconciler wires the reconciler of one stack.
func newReconciler(host Host, paths layout.Stack, dir string, images reconciler.Images, store *state.Store) *reconciler.Reconciler {
	return &reconciler.Reconciler{
		Drivers: allDrivers(host),
		Images:  images,
		Disks:   volume.Disks{LookPath: exec.LookPath},
		Access:  ssh.Access{Rand: rand.Reader, Now: host.Now},
		Store:   store,
		Layout:  paths,
		Project: dir,
		Arch:    host.Arch,
		Now:     host.Now,
		Rand:    rand.Reader,

		AutoPorts: host.Getenv("LKUP_AUTO_PORTS"),
		Elsewhere: portsElsewhere(host, paths),
	}
}

// resolved is the images of a stack, pinned.
type resolved struct {
	digests map[spec.Address]sources.Digest
	recipes map[spec.Address]string                // see linuxkit.Description.Key
	inputs  map[spec.Address]map[string]spec.Input // what they are made from
	guests  map[spec.Address]bool                  // whether lkup's init runs in them, where that is known
}

// usedImages are the images that the stack's machines use, by address.
func usedImages(stack *spec.Stack) []spec.Image {
	used := map[spec.Address]bool{}
	for _, vm := range stack.VMs {
		used[vm.Image] = true
		for ref := range vm.Lifecycle.Triggers {
			if _, isImage := stack.Images[spec.Address(ref)]; isImage {
				used[spec.Address(ref)] = true
			}
		}
	}
	var all []spec.Image
	for _, address := range sortedKeys(used) {
		all = append(all, stack.Images[address])
	}
	return all
}

// resolve pins the images that the stack's machines use, several at once.
func resolve(ctx context.Context, images *imageSources, stack *spec.Stack, known state.State) (resolved, error) {
	var mu sync.Mutex
	all := resolved{
		digests: map[spec.Address]sources.Digest{},
		recipes: map[spec.Address]string{},
		inputs:  map[spec.Address]map[string]spec.Input{},
		guests:  map[spec.Address]bool{},
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, img := range usedImages(stack) {
		group.Go(func() error {
			d, err := images.Describe(ctx, img)
			var in linuxkit.Mistakes
			if errors.As(err, &in) {
				return err // it names the template's lines
			}
			if err != nil {
				return fmt.Errorf("%s: %w", img.Origin, err)
			}
			mu.Lock()
			defer mu.Unlock()
			all.digests[img.Address] = keepDigest(img.Address, d, known, images.templates.Stored)
			all.recipes[img.Address], all.inputs[img.Address] = d.Key, d.Inputs
			if d.Guest != nil {
				all.guests[img.Address] = *d.Guest
			}
			return nil
		})
	}
	return all, group.Wait()
}

// keepDigest is the digest that machines of an image have already, if only
// lkup's own parts of it have changed since: a newer lkup alone changes no
// machine. What is no longer stored cannot be kept.
func keepDigest(address spec.Address, d linuxkit.Description, known state.State, stored func(sources.Digest) bool) sources.Digest {
	kept := d.Digest
	var newest time.Time
	for _, i := range known.Instances {
		if d.Key != "" && i.Recipe == d.Key && i.Applied.Image == address && i.AppliedAt.After(newest) && stored(i.Digest) {
			kept, newest = i.Digest, i.AppliedAt
		}
	}
	return kept
}

// abilities says what each driver can change in a running machine.
func abilities(host Host) map[string][]drivers.Ability {
	all := map[string][]drivers.Ability{}
	for name, d := range allDrivers(host) {
		all[name] = drivers.Abilities(d)
	}
	return all
}

// planInput gathers what a plan depends on.
func planInput(host Host, stack *spec.Stack, digests map[spec.Address]sources.Digest, now planner.Inventory, known state.State, paths layout.Stack) planner.Input {
	chosen := make(map[spec.Address]string, len(stack.VMs))
	for address, vm := range stack.VMs {
		chosen[address] = chosenDriver(host, vm)
	}
	return planner.Input{
		Stack:     stack,
		Digests:   digests,
		Drivers:   chosen,
		Abilities: abilities(host),
		Inventory: now,
		Volumes:   volumeSizes(paths, known),
		Outputs:   known.Outputs,
	}
}

// lockStack opens a stack's state for writing. command names this process for
// whoever finds the stack locked.
func lockStack(call *call, paths layout.Stack, stack, project, command string, flags lockFlags) (*state.Store, error) {
	return state.Lock(call.ctx, paths, state.Owner{
		Stack:   stack,
		Project: project,
		Holder:  state.Holder{PID: os.Getpid(), Command: "lkup " + command, Since: call.Now()},
		Rand:    rand.Reader,
		Timeout: flags.LockTimeout.Duration,
	})
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
