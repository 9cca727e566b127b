package reconciler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// observers is how many machines are asked at once.
const observers = 32

// Observe asks the drivers what every recorded instance does now.
func Observe(ctx context.Context, known state.State, paths layout.Stack, all map[string]drivers.Driver) (planner.Inventory, error) {
	addresses := make(chan spec.Address, len(known.Instances))
	for address := range known.Instances {
		addresses <- address
	}
	close(addresses)
	var mu sync.Mutex
	now := make(planner.Inventory, len(known.Instances))
	group, ctx := errgroup.WithContext(ctx)
	for range min(observers, len(known.Instances)) {
		group.Go(func() error {
			for address := range addresses {
				i, err := observe(ctx, known, known.Instances[address], paths, all)
				if err != nil {
					return err
				}
				mu.Lock()
				now[address] = i
				mu.Unlock()
			}
			return nil
		})
	}
	return now, group.Wait()
}

func observe(ctx context.Context, known state.State, instance state.Instance, paths layout.Stack, all map[string]drivers.Driver) (planner.Instance, error) {
	driver, found := all[instance.Driver]
	if !found {
		return planner.Instance{}, fmt.Errorf("%s was made by driver %q, which this lkup does not have", instance.Address, instance.Driver)
	}
	m := Machine(instance, paths, known.Project)
	status, err := driver.Status(ctx, m)
	if err != nil {
		return planner.Instance{}, fmt.Errorf("observe %s: %w", instance.Address, err)
	}
	i := Observed(instance, status)
	i.Exit = exitOf(instance, m, status)
	i.Sources = known.Sources[instance.Sources]
	if i.Edited, err = state.Edited(paths, instance); err != nil {
		return planner.Instance{}, fmt.Errorf("observe %s: %w", instance.Address, err)
	}
	if i.Lost, err = lost(instance, m); err != nil {
		return planner.Instance{}, fmt.Errorf("observe %s: %w", instance.Address, err)
	}
	return i, nil
}

// Observed is a recorded instance with what its driver says of it.
func Observed(i state.Instance, status drivers.Status) planner.Instance {
	if i.Halted && (status.Detail == "" || status.Detail == string(status.State)) {
		status.Detail = halted(status.State)
	}
	return planner.Instance{
		Address: i.Address,
		ID:      i.ID,
		Applied: i.Applied,
		Digest:  i.Digest,
		Driver:  i.Driver,
		Status:  status,
		Proven:  status.PID != 0 && process(status) == i.Proven,
		Created: i.Created,

		NeverReady: i.Proven == state.Process{},
		Own:        ownPorts(i),
		Since:      i.AppliedAt,
	}
}

// halted says that a machine is as a person left it.
func halted(s drivers.State) string {
	switch s {
	case drivers.Stopped:
		return "by lkup stop"
	case drivers.Paused:
		return "by lkup pause"
	case drivers.Absent, drivers.Running, drivers.Unknown:
	}
	return ""
}

// lost lists the volumes whose file is gone.
func lost(i state.Instance, m drivers.Machine) ([]spec.Address, error) {
	var gone []spec.Address
	for n, mount := range i.Applied.Mounts {
		if !i.Created || n >= len(m.Volumes) {
			break
		}
		_, err := os.Stat(m.Volumes[n].Path)
		if errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, mount.Volume)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// process identifies the run that a status speaks of.
func process(s drivers.Status) state.Process {
	return state.Process{PID: s.PID, Started: s.Started.UTC()}
}

// Facts are the choices that expressions may refer to, as recorded.
func Facts(known state.State, moved []spec.Moved) spec.Facts {
	known.Ports = movedPorts(known.Ports, moved)
	facts := spec.Facts{HostPorts: make(map[spec.Address]map[spec.PortKey]int, len(known.Ports))}
	for address, ports := range known.Ports {
		chosen := make(map[spec.PortKey]int, len(ports))
		for _, p := range ports {
			chosen[spec.PortKey{Guest: p.Guest, Protocol: p.Protocol}] = p.Host
		}
		facts.HostPorts[address] = chosen
	}
	facts.Addresses = addresses(known, moved)
	return facts
}
