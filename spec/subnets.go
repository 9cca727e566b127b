package spec

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// networkClaim is where a network's subnet was written, or its block.
type networkClaim struct {
	network Address
	at      hcl.Range
}

// nicClaim is a VM's place in a network.
type nicClaim struct {
	vm, block, network Address
	at                 hcl.Range
}

// connectAll gives subnets to the networks that name none, and to each VM what
// its networks say and an address in each. Choices of earlier applies hold.
func (e *evaluator) connectAll() {
	if len(e.stack.Networks) == 0 {
		return
	}
	slices.SortStableFunc(e.claims.networks, func(a, b networkClaim) int { return compareRanges(&a.at, &b.at) })
	slices.SortStableFunc(e.claims.nics, func(a, b nicClaim) int { return compareRanges(&a.at, &b.at) })
	e.settleSubnets()
	e.settleNetworkNames()
	if e.diags.HasErrors() {
		return
	}
	e.describeNICs()
	e.settleAddresses()
	e.settleAliases()
}

// describeNICs has each NIC say what its network says.
func (e *evaluator) describeNICs() {
	for a, vm := range e.stack.VMs {
		vm.Networks = slices.Clone(vm.Networks)
		for n, nic := range vm.Networks {
			from := e.stack.Networks[nic.Network]
			nic.Name, nic.Subnet, nic.DNS, nic.Egress, nic.HostAccess = from.Name, from.Subnet, from.DNS, from.Egress, from.HostAccess
			vm.Networks[n] = nic
		}
		slices.SortFunc(vm.Networks, func(a, b NIC) int { return cmp.Compare(a.Network, b.Network) })
		e.stack.VMs[a] = vm
	}
}

// settleSubnets reports subnets that overlap, and chooses the others. A choice
// is made from the network's address, so that it stays when others come.
func (e *evaluator) settleSubnets() {
	taken := []netip.Prefix{}
	var waiting []Address
	for _, c := range e.claims.networks {
		v := e.stack.Networks[c.network]
		if v.Subnet == "" {
			waiting = append(waiting, c.network)
			continue
		}
		p, err := netip.ParsePrefix(v.Subnet)
		if err != nil {
			continue // reported
		}
		if other := slices.IndexFunc(taken, p.Overlaps); other >= 0 {
			with, at := e.networkWith(taken[other])
			e.fail(c.at, "Overlapping subnets", "%s (%s) overlaps %s of %s (%s), so that machines in both would not know where to send. Write another one, or none, and one is chosen.", c.network, p, taken[other], with, place(at))
			continue
		}
		taken = append(taken, p)
	}
	slices.Sort(waiting)
	for _, a := range waiting {
		p := chooseSubnet(a, taken)
		taken = append(taken, p)
		v := e.stack.Networks[a]
		v.Subnet = p.String()
		e.stack.Networks[a] = v
	}
}

func (e *evaluator) networkWith(p netip.Prefix) (Address, hcl.Range) {
	for _, c := range e.claims.networks {
		if e.stack.Networks[c.network].Subnet == p.String() {
			return c.network, c.at
		}
	}
	return "", hcl.Range{}
}

// Subnets are chosen as 10.64.0.0/24 to 10.127.255.0/24, which few others use.
const (
	firstChosen  = 64
	chosenRanges = 64
)

func chooseSubnet(a Address, taken []netip.Prefix) netip.Prefix {
	h := fnv.New32a()
	_, _ = h.Write([]byte(a)) // it never fails
	for n := h.Sum32(); ; n++ {
		second, third := byte(firstChosen+n>>8%chosenRanges), byte(n)
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, third, 0}), 24)
		if !slices.ContainsFunc(taken, p.Overlaps) {
			return p
		}
	}
}

// settleNetworkNames reports two networks that names of machines could not tell apart.
func (e *evaluator) settleNetworkNames() {
	first := map[string]networkClaim{}
	for _, c := range e.claims.networks {
		name := e.stack.Networks[c.network].Name
		if other, taken := first[name]; taken {
			e.fail(c.at, "Duplicate network name", "%s and %s (%s) would both be called %q in the names of machines. Give one of them another name.", c.network, other.network, place(other.at), name)
			continue
		}
		first[name] = c
	}
}

// settleAddresses reports addresses that are outside of their subnets or given
// twice, and chooses the others.
func (e *evaluator) settleAddresses() {
	taken := map[Address]map[netip.Addr]Address{} // by network
	for a := range e.stack.Networks {
		taken[a] = map[netip.Addr]Address{}
	}
	for _, c := range e.claims.nics {
		nic := e.nic(c)
		if nic == nil || nic.Auto {
			continue
		}
		subnet, a := netip.MustParsePrefix(nic.Subnet), netip.MustParseAddr(nic.Address)
		switch other := taken[c.network][a]; {
		case !usable(subnet, a):
			e.fail(c.at, "Address outside of the subnet", "%s cannot have %s in %s, where machines have %s to %s. Write one of those, or none, and one is chosen.", c.vm, a, c.network, Gateway(subnet).Next(), lastOf(subnet).Prev())
		case other != "":
			e.fail(c.at, "Address used twice", "%s and %s would both have %s in %s. Give one of them another, or none, and one is chosen.", other, c.vm, a, c.network)
		}
		taken[c.network][a] = c.vm
	}
	if e.diags.HasErrors() {
		return
	}
	e.keepAddresses(taken)
	e.chooseAddresses(taken)
}

// keepAddresses has NICs keep what was chosen before. What machines have that
// are no longer wanted stays theirs until they are gone.
func (e *evaluator) keepAddresses(taken map[Address]map[netip.Addr]Address) {
	for _, vm := range sortedAddresses(e.in.Facts.Addresses) {
		for _, network := range sortedAddresses(e.in.Facts.Addresses[vm]) {
			a, err := netip.ParseAddr(e.in.Facts.Addresses[vm][network])
			used := taken[network]
			if used == nil || err != nil || used[a] != "" {
				continue
			}
			used[a] = vm
			if nic := e.nic(nicClaim{vm: vm, network: network}); nic != nil && nic.Auto && usable(netip.MustParsePrefix(nic.Subnet), a) {
				nic.Address = a.String()
			}
		}
	}
}

func (e *evaluator) chooseAddresses(taken map[Address]map[netip.Addr]Address) {
	next := map[Address]netip.Addr{}
	for _, vm := range sortedAddresses(e.stack.VMs) {
		for n := range e.stack.VMs[vm].Networks {
			nic := &e.stack.VMs[vm].Networks[n]
			if nic.Address != "" {
				continue
			}
			subnet := netip.MustParsePrefix(nic.Subnet)
			a, begun := next[nic.Network]
			if !begun {
				a = Gateway(subnet).Next()
			}
			for taken[nic.Network][a] != "" && usable(subnet, a) {
				a = a.Next()
			}
			if !usable(subnet, a) {
				e.fail(e.claimOf(vm, nic.Network).at, "Network full", "%s has no address left for %s. Give it a larger subnet.", nic.Network, vm)
				return
			}
			nic.Address = a.String()
			next[nic.Network] = a.Next()
		}
	}
}

func (e *evaluator) claimOf(vm, network Address) nicClaim {
	for _, c := range e.claims.nics {
		if c.vm == vm && c.network == network {
			return c
		}
	}
	return nicClaim{}
}

// nic is a VM's NIC, to be changed in place; nil if the VM is switched off.
func (e *evaluator) nic(c nicClaim) *NIC {
	all := e.stack.VMs[c.vm].Networks
	for n := range all {
		if all[n].Network == c.network {
			return &all[n]
		}
	}
	return nil
}

// usable reports whether a machine can have an address: it is not the network's
// own, the gateway's, or everyone's.
func usable(subnet netip.Prefix, a netip.Addr) bool {
	return subnet.Contains(a) && a != subnet.Addr() && a != Gateway(subnet) && a != lastOf(subnet)
}

// lastOf is a subnet's last address, which is everyone's.
func lastOf(subnet netip.Prefix) netip.Addr {
	a := subnet.Masked().Addr().As4()
	for bit := subnet.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
}

// settleAliases reports an alias that means another VM. Instances of one block
// may share one: then it means them all.
func (e *evaluator) settleAliases() {
	type meaning struct{ network, name Address }
	first := map[meaning]nicClaim{}
	for _, c := range e.claims.nics {
		if e.nic(c) != nil {
			first[meaning{c.network, Address(e.stack.VMs[c.vm].Name)}] = c
		}
	}
	for _, c := range e.claims.nics {
		nic := e.nic(c)
		if nic == nil {
			continue
		}
		for _, alias := range nic.Aliases {
			key := meaning{c.network, Address(alias)}
			other, taken := first[key]
			if taken && other.vm != c.vm && (other.block != c.block || e.stack.VMs[other.vm].Name == alias) {
				e.fail(c.at, "Name used twice", "In %s, %q means %s already (%s). Give %s another alias.", c.network, alias, other.vm, place(other.at), c.vm)
				continue
			}
			if !taken {
				first[key] = c
			}
		}
	}
}

func sortedAddresses[V any](m map[Address]V) []Address {
	var all []Address
	for a := range m {
		all = append(all, a)
	}
	slices.Sort(all)
	return all
}
