package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// Host is the size of the computer that machines run on. What is zero is not
// known, and limits nothing.
type Host struct {
	CPUs   int
	Memory int // MiB
}

// HeldPort is a host port of another stack of this host.
type HeldPort struct {
	drivers.Port
	By string // for people: vm.web of stack shop in /home/ann/shop
}

// beyondHost refuses a plan that starts more than the host has. Memory counts
// together with what already runs in the stack, for guests use all that they
// are given sooner or later. Processors are shared in time, so that a machine
// alone must not have more than there are.
func (p *planning) beyondHost(steps []Step) []Refusal {
	var all []Refusal
	if most := p.Host.CPUs; most > 0 {
		for _, s := range steps {
			if starts(s) && s.Want.CPUs > most {
				all = append(all, Refusal{s.Address, fmt.Sprintf("it has cpus = %d%s, and this computer has %d; write %[3]d or less, or go beyond with --allow-overcommit",
					s.Want.CPUs, written(s.Want, "cpus"), most)})
			}
		}
	}
	if refusal, beyond := p.beyondMemory(steps); beyond {
		all = append(all, refusal)
	}
	return all
}

// share is what one machine has of the host's memory.
type share struct {
	address spec.Address
	memory  int // MiB
	want    *spec.VM
	starts  bool
}

func (p *planning) beyondMemory(steps []Step) (Refusal, bool) {
	if p.Host.Memory == 0 {
		return Refusal{}, false
	}
	shares := p.shares(steps)
	total := 0
	for _, s := range shares {
		total += s.memory
	}
	slices.SortStableFunc(shares, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.memory, a.memory), cmp.Compare(a.address, b.address))
	})
	first := slices.IndexFunc(shares, func(s share) bool { return s.starts })
	if total <= p.Host.Memory || first < 0 {
		return Refusal{}, false
	}
	const shown = 5
	var parts []string
	for _, s := range shares[:min(len(shares), shown)] {
		text := fmt.Sprintf("%s %s", s.address, memoryText(s.memory))
		if s.starts {
			text += written(s.want, "memory")
		} else {
			text += ", which runs"
		}
		parts = append(parts, text)
	}
	if more := len(shares) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return Refusal{shares[first].address, fmt.Sprintf("the stack's machines would have %s of memory together, and this computer has %s: %s; write less, or go beyond with --allow-overcommit",
		memoryText(total), memoryText(p.Host.Memory), strings.Join(parts, "; "))}, true
}

// shares are the machines that run after the plan, in the order of their
// addresses: those that its steps start, and those that they leave running.
func (p *planning) shares(steps []Step) []share {
	stepped := make(map[spec.Address]bool, len(steps))
	var all []share
	for _, s := range steps {
		stepped[s.Address] = true
		switch have, there := p.Inventory[s.Address]; {
		case starts(s):
			all = append(all, share{s.Address, s.Want.Memory, s.Want, true})
		case s.Action == Stop || s.Action == Delete || s.Action == Forget:
		case there && runs(have):
			all = append(all, share{s.Address, ram(have), s.Want, false})
		}
	}
	var left []spec.Address
	for a, i := range p.Inventory {
		if !stepped[a] && runs(i) {
			left = append(left, a)
		}
	}
	slices.Sort(left)
	for _, a := range left {
		all = append(all, share{a, ram(p.Inventory[a]), nil, false})
	}
	return all
}

// starts reports whether a step starts a process.
func starts(s Step) bool {
	if s.Want == nil || !s.Want.Running || s.Blocked != "" {
		return false
	}
	return s.Action == Create || s.Action == Start || s.Action == Restart || s.Action == Replace
}

func runs(i Instance) bool {
	return i.Status.State == drivers.Running || i.Status.State == drivers.Paused
}

// ram is what a running machine's process was given.
func ram(i Instance) int { return cmp.Or(i.Status.MemoryMax, i.Applied.Memory) }

// heldElsewhere refuses host ports that another stack of this host has, which
// a start would only find out about in the middle.
func (p *planning) heldElsewhere(steps []Step) []Refusal {
	if len(p.Elsewhere) == 0 {
		return nil
	}
	others := map[hostPort][]HeldPort{}
	for _, h := range p.Elsewhere {
		key := hostPort{h.Protocol, h.Host}
		others[key] = append(others[key], h)
	}
	var all []Refusal
	for _, s := range steps {
		if !starts(s) && !(s.Live && s.Want != nil) {
			continue
		}
		for _, port := range s.Want.Ports {
			if port.Host == 0 || slices.Contains(p.Inventory[s.Address].Status.Ports, drivers.Port{Address: port.Address, Host: port.Host, Guest: port.Guest, Protocol: port.Protocol}) {
				continue // not chosen yet, or held by itself
			}
			for _, h := range others[hostPort{port.Protocol, port.Host}] {
				if overlap(port.Address, h.Address) {
					all = append(all, Refusal{s.Address, fmt.Sprintf("host port %s:%d%s is the port of %s; change one \"host\", or take that down",
						port.Address, port.Host, written(s.Want, port.Attribute()), h.By)})
					break
				}
			}
		}
	}
	return all
}

// overlap reports whether two listeners on one port's number collide.
func overlap(a, b string) bool {
	one, everyOne := normal(a)
	other, everyOther := normal(b)
	return one == other || everyOne || everyOther
}

// written says where an attribute stands, if it is known.
func written(vm *spec.VM, attribute string) string {
	if vm == nil {
		return ""
	}
	if at := vm.Origin(attribute); at.File != "" {
		return " (" + at.String() + ")"
	}
	return ""
}
