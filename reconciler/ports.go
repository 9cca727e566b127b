package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

// ChoosePorts chooses a free host port for every auto port that has none,
// records the choices, and keeps those made before. Choices for VMs that are
// neither wanted nor there are forgotten.
func (r *Reconciler) ChoosePorts(ctx context.Context, stack *spec.Stack) (spec.Facts, error) {
	known := r.Store.State()
	known.Ports = movedPorts(known.Ports, stack.Moved)
	asked, taken := askedPorts(stack), reservedPorts(stack, known)
	chosen := map[spec.Address][]state.ChosenPort{}
	changed := false
	for _, address := range stack.Addresses() {
		for _, p := range stack.VMs[address].Ports {
			if !p.Auto {
				continue
			}
			host := chosenBefore(known.Ports[address], p)
			if host == 0 || asked[host] {
				free, err := r.freePort(ctx, p.Address, p.Protocol, taken)
				if err != nil {
					return spec.Facts{}, fmt.Errorf("choose a host port for %s: %w", address, err)
				}
				host, changed = free, true
			}
			taken[host] = true
			chosen[address] = append(chosen[address], state.ChosenPort{Guest: p.Guest, Protocol: p.Protocol, Host: host})
		}
	}
	for address := range known.Instances {
		if _, wanted := chosen[address]; !wanted && len(known.Ports[address]) > 0 {
			chosen[address] = known.Ports[address]
		}
	}
	if changed {
		if err := r.Store.SetPorts(chosen); err != nil {
			return spec.Facts{}, err
		}
	}
	facts := Facts(state.State{Ports: chosen}, nil)
	facts.Addresses = addresses(known, stack.Moved)
	return facts, nil
}

// movedPorts are chosen ports under the addresses that moved blocks give.
func movedPorts(ports map[spec.Address][]state.ChosenPort, moved []spec.Moved) map[spec.Address][]state.ChosenPort {
	if len(moved) == 0 {
		return ports
	}
	now := maps.Clone(ports)
	for _, m := range moved {
		for _, from := range slices.Sorted(maps.Keys(now)) {
			to, covered := m.Apply(from)
			if _, taken := now[to]; covered && !taken {
				now[to] = now[from]
				delete(now, from)
			}
		}
	}
	return now
}

// askedPorts are the host ports that stack files name. Whoever names one gets
// it, also from a VM for which it was chosen before.
func askedPorts(stack *spec.Stack) map[int]bool {
	asked := map[int]bool{}
	for _, vm := range stack.VMs {
		for _, p := range vm.Ports {
			if !p.Auto {
				asked[p.Host] = true
			}
		}
	}
	return asked
}

// reservedPorts are the host ports that must not be chosen, though they may be
// free just now.
func reservedPorts(stack *spec.Stack, known state.State) map[int]bool {
	taken := map[int]bool{}
	for _, vm := range stack.VMs {
		for _, p := range vm.Ports {
			taken[p.Host] = true
		}
	}
	for _, i := range known.Instances {
		taken[i.SSHPort] = true
	}
	for _, ports := range known.Ports {
		for _, p := range ports {
			taken[p.Host] = true
		}
	}
	return taken
}

func chosenBefore(ports []state.ChosenPort, wanted spec.Port) int {
	for _, p := range ports {
		if p.Guest == wanted.Guest && p.Protocol == wanted.Protocol {
			return p.Host
		}
	}
	return 0
}

// FreePort gives a TCP port of the host's loopback for something that no
// machine has, chosen as those for "auto" are.
func (r *Reconciler) FreePort(ctx context.Context) (int, error) {
	return r.freePort(ctx, "127.0.0.1", "tcp", map[int]bool{})
}

// freePort gives a port that nobody holds and that is not taken. Somebody may
// take it before it is used; the start then says who. It adds to taken what
// other stacks have.
func (r *Reconciler) freePort(ctx context.Context, address, protocol string, taken map[int]bool) (int, error) {
	if r.Elsewhere != nil {
		for _, port := range r.Elsewhere() {
			taken[port] = true
		}
	}
	if r.AutoPorts != "" {
		return freeOf(ctx, r.AutoPorts, address, protocol, taken)
	}
	for range 100 {
		port, err := ask(ctx, address, protocol, 0)
		if err == nil && !taken[port] {
			return port, nil
		}
	}
	// Linux gives out a quarter of its range unasked.
	return freeFrom(ctx, firstAsked, mostPort, address, protocol, taken)
}

// freeOf gives a free port of FIRST-LAST.
func freeOf(ctx context.Context, ports, address, protocol string, taken map[int]bool) (int, error) {
	from, to, _ := strings.Cut(ports, "-")
	first, err := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || first == 0 || first > last {
		return 0, fmt.Errorf("LKUP_AUTO_PORTS is %q, which is no range of ports; write it as 20000-20999", ports)
	}
	return freeFrom(ctx, int(first), int(last), address, protocol, taken)
}

func freeFrom(ctx context.Context, first, last int, address, protocol string, taken map[int]bool) (int, error) {
	var failure error
	for port := first; port <= last; port++ {
		if taken[port] {
			continue
		}
		if _, failure = ask(ctx, address, protocol, port); failure == nil {
			return port, nil
		}
	}
	return 0, errors.Join(fmt.Errorf("no %s port from %d to %d is free on %s", protocol, first, last, address), failure)
}

const (
	firstAsked = 20000 // below lie most of the ports that people know by number
	mostPort   = 65535
)

// ask binds a port for a moment; of 0, the system chooses one.
func ask(ctx context.Context, address, protocol string, port int) (int, error) {
	var config net.ListenConfig
	where := net.JoinHostPort(address, strconv.Itoa(port))
	var bound net.Addr
	if protocol == "udp" {
		conn, err := config.ListenPacket(ctx, "udp", where)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		bound = conn.LocalAddr()
	} else {
		listener, err := config.Listen(ctx, "tcp", where)
		if err != nil {
			return 0, err
		}
		defer listener.Close()
		bound = listener.Addr()
	}
	_, found, err := net.SplitHostPort(bound.String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found)
}
