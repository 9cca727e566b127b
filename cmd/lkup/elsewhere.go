package main

import (
	"fmt"
	"sync"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// asksForPorts reports whether a stack names host ports, which another stack
// may have. Those that lkup chooses are nobody's.
func asksForPorts(stack *spec.Stack) bool {
	for _, vm := range stack.VMs {
		for _, p := range vm.Ports {
			if !p.Auto {
				return true
			}
		}
	}
	return false
}

// elsewhere are the host ports of this host's other stacks: of their machines
// that shall run, whether or not they do just now.
func elsewhere(host Host, paths layout.Stack) []planner.HeldPort {
	var all []planner.HeldPort
	for _, other := range state.Others(host.Layout(), paths) {
		for _, address := range sortedKeys(other.Instances) {
			i := other.Instances[address]
			if !i.Applied.Running {
				continue
			}
			by := fmt.Sprintf("%s of stack %s in %s", address, other.Stack, other.Project)
			for _, p := range i.Applied.Ports {
				all = append(all, planner.HeldPort{Port: drivers.Port{Address: p.Address, Host: p.Host, Guest: p.Guest, Protocol: p.Protocol}, By: by})
			}
			if i.SSHPort != 0 {
				all = append(all, planner.HeldPort{Port: drivers.Port{Address: "127.0.0.1", Host: i.SSHPort, Guest: 22, Protocol: "tcp"}, By: by})
			}
		}
	}
	return all
}

// portsElsewhere are their numbers, for whoever chooses one; they are read once.
func portsElsewhere(host Host, paths layout.Stack) func() []int {
	return sync.OnceValue(func() []int {
		var all []int
		for _, held := range elsewhere(host, paths) {
			all = append(all, held.Host)
		}
		return all
	})
}
