package main

import (
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type psCmd struct {
	dirFlag
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *psCmd) Run(call *call) error {
	paths, known, err := applied(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	if err := ensureSupervisor(call.Host, paths, known, stackFlags{dirFlag: c.dirFlag}); err != nil {
		return err
	}
	now, err := reconciler.Observe(call.ctx, known, paths, allDrivers(call.Host))
	if err != nil {
		return err
	}
	rows := psRows(known, now, readHealth(paths), call.Now())
	if c.JSON {
		return view.PsJSON(call.Out, rows)
	}
	return view.PsText(call.Out, call.outStyle(), rows)
}

func psRows(known state.State, now planner.Inventory, health map[spec.Address]healthRecord, at time.Time) []view.PsRow {
	var rows []view.PsRow
	for _, address := range sortedKeys(now) {
		i := now[address]
		row := view.PsRow{
			Address: address,
			Name:    i.Applied.Name,
			ID:      i.ID,
			Status:  i.Status.State,
			Detail:  i.Status.Detail,
			Ready:   i.Proven && i.Status.State == drivers.Running,
			Driver:  i.Driver,
			Ports:   i.Applied.Ports,
			CPUs:    i.Applied.CPUs,
			Memory:  i.Applied.Memory,
			SSHPort: known.Instances[address].SSHPort,
			PID:     i.Status.PID,
			Kind:    i.Applied.Kind,
			Exit:    i.Exit,
		}
		if i.Status.State == drivers.Running {
			row.Health = healthOf(known.Instances[address], health)
		}
		if !i.Status.Started.IsZero() {
			row.Uptime = at.Sub(i.Status.Started)
		}
		rows = append(rows, row)
	}
	return rows
}
