package reconciler

import (
	"fmt"
	"path/filepath"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// sshGuestPort is where SSH servers listen.
const sshGuestPort = 22

// Machine is an instance as its driver knows it, every choice made.
func Machine(i state.Instance, paths layout.Stack, project string) drivers.Machine {
	vm := i.Applied
	return drivers.Machine{
		Address:  i.Address,
		ID:       i.ID,
		Name:     vm.Name,
		Nonce:    i.Nonce,
		Dir:      paths.Instance(i.ID),
		RunDir:   paths.RunDir(i.ID),
		Arch:     i.Arch,
		CPUs:     vm.CPUs,
		Memory:   vm.Memory,
		MAC:      i.MAC,
		Stack:    paths.ID,
		Domain:   paths.Name + ".internal",
		NICs:     machineNICs(i, paths),
		Isolated: vm.Isolated,
		Boot:     i.Boot,
		Ports:    machinePorts(vm, i.SSHPort),
		Shares:   machineShares(vm, project),
		Volumes:  machineVolumes(i, paths),
		Disc:     machineDisc(vm, paths.Instance(i.ID)),
		Login:    machineLogin(vm, project),
	}
}

// DiscFile is the disk with a seed, in an instance's directory.
const DiscFile = "seed.iso"

func machineDisc(vm spec.VM, dir string) string {
	if vm.Seed.IsZero() {
		return ""
	}
	return filepath.Join(dir, DiscFile)
}

// machineLogin is who gets into the guest, and how.
func machineLogin(vm spec.VM, project string) drivers.Login {
	if vm.SSH == (spec.Login{}) {
		return drivers.Login{User: vm.Seed.User}
	}
	key := vm.SSH.PrivateKey
	if !filepath.IsAbs(key) {
		key = filepath.Join(project, key)
	}
	return drivers.Login{User: vm.SSH.User, PrivateKey: key, HostKey: vm.SSH.HostKey}
}

// serialLength is how much of a disk's serial number a virtio disk tells.
const serialLength = 20

func machineVolumes(i state.Instance, paths layout.Stack) []drivers.Volume {
	var volumes []drivers.Volume
	for _, mount := range i.Applied.Mounts {
		v, known := i.Volumes[mount.Volume]
		if !known {
			continue
		}
		volumes = append(volumes, drivers.Volume{
			Name:     v.Name[:min(len(v.Name), serialLength)],
			Path:     filepath.Join(paths.Volume(v.ID), v.File()),
			Format:   v.Format,
			Size:     mount.Size,
			Guest:    mount.Path,
			ReadOnly: mount.ReadOnly,
		})
	}
	return volumes
}

// ownPorts are the ports that an instance has besides those that were asked for.
func ownPorts(i state.Instance) []drivers.Port {
	return machinePorts(i.Applied, i.SSHPort)[len(i.Applied.Ports):]
}

// machinePorts adds the port for SSH, unless the user forwards it.
func machinePorts(vm spec.VM, sshPort int) []drivers.Port {
	var ports []drivers.Port
	for _, p := range vm.Ports {
		ports = append(ports, drivers.Port{Address: p.Address, Host: p.Host, Guest: p.Guest, Protocol: p.Protocol})
	}
	if _, forwarded := forwardedSSH(vm); !forwarded && sshPort != 0 {
		ports = append(ports, drivers.Port{Address: "127.0.0.1", Host: sshPort, Guest: sshGuestPort, Protocol: "tcp"})
	}
	return ports
}

// forwardedSSH is the host port by which the user reaches the guest's SSH.
func forwardedSSH(vm spec.VM) (int, bool) {
	for _, p := range vm.Ports {
		if p.Guest == sshGuestPort && p.Protocol == "tcp" {
			return p.Host, true
		}
	}
	return 0, false
}

func machineShares(vm spec.VM, project string) []drivers.Share {
	var shares []drivers.Share
	for n, s := range vm.Shares {
		if s.Way() == spec.ShareSync {
			continue // no driver's affair
		}
		shares = append(shares, drivers.Share{
			Tag:      fmt.Sprintf("share%d", n),
			Host:     s.HostIn(project),
			Guest:    s.Guest,
			ReadOnly: s.ReadOnly,
			Type:     s.Way(),
			Protect:  s.Protected(),
		})
	}
	return shares
}

// macAddress is derived from the ID, so it is the same for an instance's whole
// life. 52:54:00 is QEMU's prefix for addresses made locally.
func macAddress(id string) string {
	return fmt.Sprintf("52:54:00:%s:%s:%s", id[0:2], id[2:4], id[4:6])
}
