package main

import (
	"path/filepath"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type inspectCmd struct {
	dirFlag
	VM string `arg:"" predictor:"vm" help:"The machine: web, web-blue or vm.web[\"blue\"]."`
}

// Run prints all that is known of a machine and is no secret.
func (c *inspectCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	r, err := pick(call.Host, paths, known, c.VM)
	if err != nil {
		return err
	}
	i := r.instance
	known.Instances = map[spec.Address]state.Instance{i.Address: i}
	inventory, err := reconciler.Observe(call.ctx, known, paths, allDrivers(call.Host))
	if err != nil {
		return err
	}
	now := inventory[i.Address]
	status := now.Status
	m := view.Machine{
		Address: i.Address, Name: i.Applied.Name, ID: i.ID, Stack: i.Stack, Project: i.Project,
		Status: now.Status.State, Detail: now.Status.Detail, Ready: now.Proven && now.Status.State == drivers.Running,
		Exit: now.Exit, PID: status.PID, Started: status.Started, Driver: i.Driver, Arch: i.Arch, MAC: i.MAC,
		Source: i.Image.Source, Digest: i.Digest, Guest: i.Guest, SSHPort: i.SSHPort,
		Memory: status.Memory, MemoryMax: status.MemoryMax, Volumes: status.Volumes,
		Dir: r.machine.Dir, Console: filepath.Join(r.machine.Dir, drivers.ConsoleLog),
		CreatedAt: i.CreatedAt, AppliedAt: i.AppliedAt, Applied: &i.Applied,
	}
	for _, p := range status.Ports {
		m.Held = append(m.Held, view.HeldPort(p))
	}
	return view.MachineJSON(call.Out, m)
}
