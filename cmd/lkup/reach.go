package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// reached is one instance that a command talks to.
type reached struct {
	instance state.Instance
	machine  drivers.Machine
	driver   drivers.Driver
}

// reach finds the instance that a person means by name: vm.web["blue"],
// web["blue"], or its hostname, web-blue.
func reach(host Host, flags dirFlag, name string) (reached, error) {
	paths, known, err := applied(host, flags)
	if err != nil {
		return reached{}, err
	}
	return pick(host, paths, known, name)
}

func pick(host Host, paths layout.Stack, known state.State, name string) (reached, error) {
	for _, address := range sortedKeys(known.Instances) {
		instance := known.Instances[address]
		if !means(name, instance) {
			continue
		}
		driver, found := allDrivers(host)[instance.Driver]
		if !found {
			return reached{}, fmt.Errorf("%s was made by driver %q, which this lkup does not have", address, instance.Driver)
		}
		return reached{
			instance: instance,
			machine:  reconciler.Machine(instance, paths, known.Project),
			driver:   driver,
		}, nil
	}
	return reached{}, unknownVM(name, known)
}

func means(name string, instance state.Instance) bool {
	address := string(instance.Address)
	return name == address || "vm."+name == address || name == instance.Applied.Name
}

// unknownVM names the machines that there are, and the nearest one.
func unknownVM(name string, known state.State) error {
	if len(known.Instances) == 0 {
		return fmt.Errorf("stack %s has no machines; type lkup apply", known.Stack)
	}
	var names []string
	nearest, distance := "", 3
	for _, address := range sortedKeys(known.Instances) {
		n := known.Instances[address].Applied.Name
		names = append(names, n)
		if d := levenshtein.Distance(name, n, nil); d < distance {
			nearest, distance = n, d
		}
	}
	hint := "it has " + strings.Join(names, ", ")
	if nearest != "" {
		hint = fmt.Sprintf("did you mean %s?", nearest)
	}
	return fmt.Errorf("stack %s has no machine %q; %s", known.Stack, name, hint)
}

// several finds the named instances, or all of them if none is named. The
// address of a block, vm.web, or of a module stands for all in it.
func several(host Host, flags dirFlag, names []string) ([]reached, error) {
	paths, known, err := applied(host, flags)
	if err != nil {
		return nil, err
	}
	return pickAll(host, paths, known, names)
}

func pickAll(host Host, paths layout.Stack, known state.State, names []string) ([]reached, error) {
	addresses, err := meant(known, names)
	if err != nil {
		return nil, err
	}
	var all []reached
	for _, a := range addresses {
		r, err := pick(host, paths, known, string(a))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// meant lists the addresses that names stand for, each once, in the order in
// which they are named; all of them if there are no names.
func meant(known state.State, names []string) ([]spec.Address, error) {
	if len(names) == 0 {
		return sortedKeys(known.Instances), nil
	}
	var all []spec.Address
	for _, name := range names {
		found := covered(known, name)
		if len(found) == 0 {
			return nil, unknownVM(name, known)
		}
		for _, a := range found {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all, nil
}

// covered lists the instances that one name stands for.
func covered(known state.State, name string) []spec.Address {
	var all []spec.Address
	for _, a := range sortedKeys(known.Instances) {
		if means(name, known.Instances[a]) {
			return []spec.Address{a}
		}
		if spec.Address(name).Covers(a) || spec.Address("vm."+name).Covers(a) {
			all = append(all, a)
		}
	}
	return all
}
