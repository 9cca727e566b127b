package reconciler

import (
	"context"
	"fmt"
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
	var mu sync.Mutex
	now := make(planner.Inventory, len(known.Instances))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(observers)
	for address, instance := range known.Instances {
		group.Go(func() error {
			driver, found := all[instance.Driver]
			if !found {
				return fmt.Errorf("%s was made by driver %q, which this lkup does not have", address, instance.Driver)
			}
			status, err := driver.Status(ctx, Machine(instance, paths, known.Project))
			if err != nil {
				return fmt.Errorf("observe %s: %w", address, err)
			}
			mu.Lock()
			defer mu.Unlock()
			now[address] = observed(instance, status)
			return nil
		})
	}
	return now, group.Wait()
}

func observed(i state.Instance, status drivers.Status) planner.Instance {
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
	}
}

// process identifies the run that a status speaks of.
func process(s drivers.Status) state.Process {
	return state.Process{PID: s.PID, Started: s.Started.UTC()}
}

// Facts are the choices that expressions may refer to, as recorded.
func Facts(known state.State) spec.Facts {
	facts := spec.Facts{HostPorts: make(map[spec.Address]map[spec.PortKey]int, len(known.Ports))}
	for address, ports := range known.Ports {
		chosen := make(map[spec.PortKey]int, len(ports))
		for _, p := range ports {
			chosen[spec.PortKey{Guest: p.Guest, Protocol: p.Protocol}] = p.Host
		}
		facts.HostPorts[address] = chosen
	}
	return facts
}
