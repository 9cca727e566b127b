package reconciler

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// machineNICs are the machine's places in its networks. What the record does
// not say follows from it: the same record gives the same addresses.
func machineNICs(i state.Instance, paths layout.Stack) []drivers.NIC {
	var all []drivers.NIC
	for n, nic := range i.Applied.Networks {
		subnet, err := netip.ParsePrefix(nic.Subnet)
		address, errAddress := netip.ParseAddr(nic.Address)
		if err != nil || errAddress != nil {
			continue // a damaged record; the plan shows that it differs
		}
		mac := nicMAC(i.ID, nic.Network)
		subnet6 := inside6(paths.ID, nic.Network)
		all = append(all, drivers.NIC{
			Network: string(nic.Network), Name: nic.Name, MAC: macText(mac),
			Socket: filepath.Join(paths.RunDir(i.ID), fmt.Sprintf("nic%d", n)),
			Switch: filepath.Join(paths.RunDir(i.ID), fmt.Sprintf("port%d", n)),
			Subnet: subnet, Gateway: spec.Gateway(subnet), Address: address,
			Subnet6: subnet6, Address6: ownAddress6(subnet6, mac),
			Default: nic.Default, Aliases: nic.Aliases, DNS: nic.DNS, Egress: nic.Egress, HostAccess: nic.HostAccess,
		})
	}
	return all
}

// nicMAC is derived from the instance's ID and the network, so it is the same
// for the instance's whole life, whatever other networks it is in. 52:54 is
// QEMU's prefix for addresses made locally.
func nicMAC(id string, network spec.Address) [6]byte {
	sum := sha256.Sum256([]byte(id + " " + string(network)))
	return [6]byte{0x52, 0x54, sum[0], sum[1], sum[2], sum[3]}
}

func macText(mac [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
}

// inside6 is the IPv6 prefix of a network: a unique local one (RFC 4193), that
// no other stack shares.
func inside6(stackID string, network spec.Address) netip.Prefix {
	sum := sha256.Sum256([]byte(stackID + " " + string(network)))
	a := [16]byte{0xfd}
	copy(a[1:8], sum[:7])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// ownAddress6 is the address that a guest gives itself when it is told the
// prefix (RFC 4291, appendix A), so that it is known without asking it.
func ownAddress6(prefix netip.Prefix, mac [6]byte) netip.Addr {
	a := prefix.Addr().As16()
	copy(a[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(a)
}

// addresses are those that were chosen for machines, under the addresses that
// moved blocks give them.
func addresses(known state.State, moved []spec.Moved) map[spec.Address]map[spec.Address]string {
	all := map[spec.Address]map[spec.Address]string{}
	for vm, i := range known.Instances {
		for _, nic := range i.Applied.Networks {
			if !nic.Auto {
				continue
			}
			now := vm
			for _, m := range moved {
				if to, covered := m.Apply(now); covered {
					now = to
				}
			}
			if all[now] == nil {
				all[now] = map[spec.Address]string{}
			}
			all[now][nic.Network] = nic.Address
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// rewire changes how a running machine is treated in its networks, if that is
// another way than so far.
func (u *unit) rewire(ctx context.Context, driver drivers.Driver, i state.Instance, m drivers.Machine) error {
	if slices.EqualFunc(i.Applied.Networks, u.step.Want.Networks, spec.NIC.Equal) {
		return nil
	}
	rewirer, able := driver.(drivers.Rewirer)
	if !able {
		return fmt.Errorf("driver %s cannot change networks of a running machine; plan again", i.Driver)
	}
	return u.journalled("rewire", i, func() error { return rewirer.Rewire(ctx, m) })
}
