package spec

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Network is a switch of the stack's own, to which VMs are connected.
type Network struct {
	Address Address  `json:"address"`
	Name    string   `json:"name"`          // lan, lan-blue: how names of machines name it
	Subnet  string   `json:"subnet"`        // IPv4, as 10.89.7.0/24
	DNS     []string `json:"dns,omitempty"` // resolvers for names outside; none: the host's
	// Egress is what its VMs may reach outside; see ParseEgress. Nothing, if it
	// is empty. Sorted.
	Egress     []string `json:"egress"`
	HostAccess bool     `json:"host_access,omitempty"` // its VMs may reach the host
	Origin     Pos      `json:"-"`
}

// NIC connects a VM with a network. It repeats what the network says, so that
// a change of the network is one of its VMs.
type NIC struct {
	Network Address `json:"network"` // key in Stack.Networks
	Name    string  `json:"name"`    // the network's
	Subnet  string  `json:"subnet"`
	Address string  `json:"address"`           // the VM's, in Subnet
	Auto    bool    `json:"auto,omitempty"`    // lkup chose Address
	Default bool    `json:"default,omitempty"` // the way out leads here: the first that is written
	// Aliases are further names of the VM in the network. Sorted.
	Aliases    []string `json:"aliases,omitempty"`
	DNS        []string `json:"dns,omitempty"`
	Egress     []string `json:"egress,omitempty"`
	HostAccess bool     `json:"host_access,omitempty"`
}

// Attribute is the NIC's path in Origins, Unknown and Sensitive.
func (n NIC) Attribute() string { return "network[" + string(n.Network) + "]" }

// Equal reports whether nothing differs.
func (n NIC) Equal(o NIC) bool {
	return n.Network == o.Network && n.Name == o.Name && n.Subnet == o.Subnet && n.Address == o.Address && n.Auto == o.Auto && n.Default == o.Default &&
		slices.Equal(n.Aliases, o.Aliases) && slices.Equal(n.DNS, o.DNS) && slices.Equal(n.Egress, o.Egress) && n.HostAccess == o.HostAccess
}

// Gateway is the first address of a subnet: the network's own.
func Gateway(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// networkType is what an expression sees of one network.
var networkType = cty.Object(map[string]cty.Type{"address": cty.String, "name": cty.String})

var networkAttributes = []string{"name"}

// network evaluates every instance of a network block.
func (e *evaluator) network(n *node) {
	scope := e.scope(n)
	each, ok := e.repetitions(n, scope)
	n.tainted = n.tainted || !ok
	values := make([]cty.Value, 0, len(each))
	for _, r := range each {
		f := &fields{evaluator: e, node: n, ctx: scope}
		if r.variables != nil {
			f.ctx = scope.NewChild()
			f.ctx.Variables = r.variables
		}
		v := f.oneNetwork(n.block)
		v.Address, v.Name = r.address, e.label(n, r.suffix)
		n.tainted = n.tainted || f.failed
		values = append(values, cty.ObjectVal(map[string]cty.Value{"address": cty.StringVal(string(v.Address)), "name": cty.StringVal(v.Name)}))
		if ok {
			n.instances = append(n.instances, v.Address)
			e.stack.Networks[v.Address] = v
			e.claims.written[v.Address] = writtenIn(n.block)
			e.claims.networks = append(e.claims.networks, networkClaim{v.Address, argumentRange(n.block, "subnet")})
		}
	}
	n.value = cty.DynamicVal
	if ok {
		n.value = together(n, each, values)
	}
}

// writtenIn says where a network's arguments are that its VMs have too.
func writtenIn(b *block) map[string]hcl.Range {
	at := map[string]hcl.Range{}
	for _, name := range []string{"subnet", "dns", "egress", "host_access"} {
		if arg := b.args[name]; arg != nil {
			at[name] = arg.at
		}
	}
	return at
}

func (f *fields) oneNetwork(b *block) Network {
	v := Network{Egress: []string{EgressAll}, Origin: position(b.at)}
	if text, given := f.text(b, "subnet"); given {
		var problem string
		if v.Subnet, problem = parseSubnet(text); problem != "" {
			f.wrong(b, "subnet", "Invalid subnet", "%s", problem)
		}
	}
	if texts, given := f.texts(b, "dns"); given {
		v.DNS = texts
		for _, text := range texts {
			if !validResolver(text) {
				f.wrong(b, "dns", "Invalid resolver", "%q is no address of a resolver. Write, for example: dns = [\"192.0.2.53\"], or with a port: \"192.0.2.53:5353\"", text)
				break
			}
		}
	}
	f.egress(b, &v)
	if flag, given := f.get(b, "host_access", cty.Bool); given {
		v.HostAccess = flag.True()
	}
	return v
}

// egress reads "all", "none" or a list.
func (f *fields) egress(b *block, v *Network) {
	if arg := b.args["egress"]; arg == nil {
		return
	}
	value, given := f.get(b, "egress", cty.DynamicPseudoType)
	if !given {
		return
	}
	if value.Type() == cty.String {
		switch text := value.AsString(); text {
		case EgressAll:
		case "none":
			v.Egress = nil
		default:
			f.wrong(b, "egress", "Invalid egress", "There are \"all\", \"none\" and lists. Write, for example: egress = [%q]", offer(text, "api.example.com:443"))
		}
		return
	}
	texts, _ := f.texts(b, "egress")
	v.Egress = nil
	for _, text := range texts {
		if _, problem := ParseEgress(text); problem != "" {
			f.wrong(b, "egress", "Invalid egress", "%s", problem)
			return
		}
		v.Egress = append(v.Egress, text)
	}
	slices.Sort(v.Egress)
	v.Egress = slices.Compact(v.Egress)
}

// texts reads a list of texts.
func (f *fields) texts(b *block, name string) ([]string, bool) {
	v, given := f.get(b, name, cty.List(cty.String))
	if !given {
		return nil, false
	}
	var all []string
	for _, element := range v.AsValueSlice() {
		if element.IsNull() {
			f.wrong(b, name, "Invalid "+name, "One of its elements is null. Write each as a text.")
			return nil, false
		}
		all = append(all, element.AsString())
	}
	return all, true
}

func validResolver(text string) bool {
	_, errAddr := netip.ParseAddr(text)
	at, errPort := netip.ParseAddrPort(text)
	return errAddr == nil || errPort == nil && at.Port() != 0
}

// Bounds of a subnet: a few machines must fit, and a slip must show.
const (
	widest    = 8
	narrowest = 29
)

func parseSubnet(text string) (subnet, problem string) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil, !p.Addr().Is4():
		return "", fmt.Sprintf("%q is no IPv4 network. Write, for example: subnet = \"10.89.7.0/24\". IPv6 addresses are given besides.", text)
	case p.Bits() < widest || p.Bits() > narrowest:
		return "", fmt.Sprintf("A subnet ends in /%d to /%d. Write, for example: subnet = \"%s/24\"", widest, narrowest, netip.PrefixFrom(p.Addr(), 24).Masked().Addr())
	case p != p.Masked():
		return "", fmt.Sprintf("%q is an address in a network. Write the network's own: subnet = %q", text, p.Masked())
	case p.Addr().IsLoopback(), p.Addr().IsMulticast(), p.Addr().IsLinkLocalUnicast(), p.Addr().As4()[0] == 0, p.Addr().As4()[0] >= 240:
		return "", fmt.Sprintf("Machines cannot have addresses of %s. Write one for private use, for example: subnet = \"10.89.7.0/24\"", p)
	}
	return p.String(), ""
}

// checkNetwork checks a reference to a network.
func (l *linker) checkNetwork(t hcl.Traversal, target *node) bool {
	_, rest, ok := l.checkInstance(t, target)
	if !ok || len(rest) == 0 {
		return ok
	}
	step, isAttr := rest[0].(hcl.TraverseAttr)
	if isAttr && slices.Contains(networkAttributes, step.Name) {
		return true
	}
	name := ""
	if isAttr {
		name = step.Name
	}
	l.fail(t.SourceRange(), "Unknown attribute", "%s has no attribute %q that can be read. It has name.", target.address(), name)
	return false
}

// networks reads the list of networks.
func (i *instance) networks() {
	b := i.node.block
	v, ok := i.known(b, "networks", "networks", cty.DynamicPseudoType)
	if !ok {
		return
	}
	ty := v.Type()
	if !ty.IsListType() && !ty.IsTupleType() && !ty.IsSetType() {
		i.wrong(b, "networks", "Invalid networks", "It is a list of networks. Write: networks = [network.%s]", i.oneNetwork())
		return
	}
	for _, element := range v.AsValueSlice() {
		if !element.Type().Equals(networkType) || element.IsNull() {
			i.wrong(b, "networks", "Invalid networks", "One of its elements is no network of this stack. Write: networks = [network.%s]", i.oneNetwork())
			return
		}
		i.connect(b.args["networks"].expr.Range(), NIC{Network: Address(element.GetAttr("address").AsString()), Auto: true})
	}
}

// network reads one network block of a VM.
func (i *instance) network(b *block) {
	v, ok := i.known(b, "network", "", cty.DynamicPseudoType)
	if !ok {
		if arg := b.args["network"]; arg != nil && !i.failed && !i.node.tainted {
			i.wrong(b, "network", "Missing network", "The network is null. Write: network = network.%s", i.oneNetwork())
		}
		return
	}
	if !v.Type().Equals(networkType) {
		i.wrong(b, "network", "Invalid network", "It must be a network of this stack. Write: network = network.%s", i.oneNetwork())
		return
	}
	n := NIC{Network: Address(v.GetAttr("address").AsString()), Auto: true}
	if v, known := i.known(b, "address", "", cty.String); known {
		a, err := netip.ParseAddr(v.AsString())
		if err != nil || !a.Is4() {
			i.wrong(b, "address", "Invalid address", "%q is no IPv4 address. Leave it out, and one is chosen and kept.", v.AsString())
			return
		}
		n.Address, n.Auto = a.String(), false
	}
	if v, known := i.known(b, "aliases", "", cty.List(cty.String)); known {
		for _, element := range v.AsValueSlice() {
			if element.IsNull() || !validHostLabel(element.AsString()) {
				i.wrong(b, "aliases", "Invalid alias", "An alias is a host name: at most 63 lower case letters, digits and inner hyphens. Write, for example: aliases = [\"database\"]")
				return
			}
			n.Aliases = append(n.Aliases, element.AsString())
		}
		slices.Sort(n.Aliases)
		n.Aliases = slices.Compact(n.Aliases)
	}
	i.connect(b.at, n)
}

// connect adds a NIC. What the network says of it is filled in once all
// networks and VMs are known.
func (i *instance) connect(at hcl.Range, n NIC) {
	for _, other := range i.vm.Networks {
		if other.Network == n.Network {
			i.failed = true
			i.fail(at, "Network given twice", "%s is in %s already. Take one of the two out.", i.address, n.Network)
			return
		}
	}
	n.Default = len(i.vm.Networks) == 0
	i.origin(n.Attribute(), at)
	for name, written := range i.claims.written[n.Network] {
		i.origin(n.Attribute()+"."+name, written)
	}
	i.vm.Networks = append(i.vm.Networks, n)
	i.claims.nics = append(i.claims.nics, nicClaim{vm: i.address, block: i.node.address(), network: n.Network, at: at})
}

// oneNetwork is a network's name to type.
func (i *instance) oneNetwork() string {
	if names := i.declared.names("network"); len(names) > 0 {
		return names[0]
	}
	return "NAME"
}
