package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

// running is a connection to the monitor of a running machine.
func (d *Driver) running(ctx context.Context, m drivers.Machine) (*monitor, error) {
	if _, state, err := find(ctx, m); err != nil || state != drivers.Running {
		if err == nil {
			err = fmt.Errorf("%s does not run", m.Address)
		}
		return nil, err
	}
	return dialMonitor(ctx, monitorPath(m))
}

// Forward changes QEMU's own network. A forward that goes leaves the
// connections that were made through it.
func (d *Driver) Forward(ctx context.Context, m drivers.Machine) error {
	if len(m.NICs) > 0 {
		return d.Rewire(ctx, m)
	}
	q, err := d.running(ctx, m)
	if err != nil {
		return err
	}
	defer q.close()
	now, err := q.forwards()
	if err != nil {
		return err
	}
	for _, p := range now {
		if !slices.Contains(m.Ports, p) {
			if err := q.human(fmt.Sprintf("hostfwd_remove user0 %s:%s:%d", p.Protocol, p.Address, p.Host), "removed"); err != nil {
				return err
			}
		}
	}
	for _, p := range m.Ports {
		if slices.Contains(now, p) {
			continue
		}
		if err := local.PortFree(p); err != nil {
			return err
		}
		if err := q.human("hostfwd_add user0 "+forward(p), ""); err != nil {
			if held := local.PortFree(p); held != nil {
				return held // somebody took it just now
			}
			return err
		}
	}
	return nil
}

// human carries out a command that only the monitor for people has. It says
// nothing when it succeeds, or something that contains a word.
func (q *monitor) human(line, success string) error {
	said, err := q.humanText(line)
	if err != nil {
		return err
	}
	if said = strings.TrimSpace(said); said != "" && (success == "" || !strings.Contains(said, success)) {
		return fmt.Errorf("%s: %s", line, said)
	}
	return nil
}

func (q *monitor) humanText(line string) (string, error) {
	reply, err := q.do("human-monitor-command", map[string]string{"command-line": line})
	if err != nil {
		return "", err
	}
	var said string
	return said, json.Unmarshal(reply, &said)
}

// forwards are the host ports that QEMU's own network forwards now, sorted.
func (q *monitor) forwards() ([]drivers.Port, error) {
	said, err := q.humanText("info usernet")
	if err != nil {
		return nil, err
	}
	return readForwards(said), nil
}

// readForwards reads lines such as
//
//	TCP[HOST_FORWARD]  13       127.0.0.1  8080       10.0.2.15    80     0     0
//
// as slirp_connection_info of libslirp's misc.c writes them.
func readForwards(said string) []drivers.Port {
	var all []drivers.Port
	for line := range strings.Lines(said) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.HasSuffix(fields[0], "[HOST_FORWARD]") {
			continue
		}
		p := drivers.Port{Address: fields[2], Protocol: strings.ToLower(strings.TrimSuffix(fields[0], "[HOST_FORWARD]"))}
		if p.Address == "*" {
			p.Address = "0.0.0.0"
		}
		var errs [2]error
		p.Host, errs[0] = strconv.Atoi(fields[3])
		p.Guest, errs[1] = strconv.Atoi(fields[5])
		if errs[0] == nil && errs[1] == nil {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b drivers.Port) int { return strings.Compare(forward(a), forward(b)) })
	return all
}

const mib = 1 << 20

// balloonLimit is how long a guest may take to give memory back. A guest under
// no pressure takes milliseconds.
const balloonLimit = 20 * time.Second

// Balloon sets the size of the balloon that takes RAM from the guest.
func (d *Driver) Balloon(ctx context.Context, m drivers.Machine) error {
	q, err := d.running(ctx, m)
	if err != nil {
		return err
	}
	defer q.close()
	if _, err := q.do("balloon", map[string]int{"value": m.Memory * mib}); err != nil {
		return err
	}
	limit := time.NewTimer(balloonLimit)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := q.memory()
		if err != nil || now == m.Memory {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("the guest was told to make do with %dMiB and has %dMiB: it needs the memory, or its image has no virtio_balloon driver", m.Memory, now)
		}
	}
}

// memory is what the guest has now, in MiB.
func (q *monitor) memory() (int, error) {
	reply, err := q.do("query-balloon", nil)
	if err != nil {
		return 0, err
	}
	var balloon struct {
		Actual int `json:"actual"` // bytes
	}
	err = json.Unmarshal(reply, &balloon)
	return balloon.Actual / mib, err
}

// Grow resizes the disks; the guest hears of it.
func (d *Driver) Grow(ctx context.Context, m drivers.Machine) error {
	q, err := d.running(ctx, m)
	if err != nil {
		return err
	}
	defer q.close()
	now, err := q.volumes(m)
	if err != nil {
		return err
	}
	for n, v := range m.Volumes {
		size, attached := now[v.Name]
		if !attached || size >= v.Size || v.ReadOnly {
			continue
		}
		if _, err := q.do("block_resize", map[string]any{"node-name": volumeNode(n), "size": v.Size * mib}); err != nil {
			return local.Full(fmt.Errorf("make volume %s larger: %w", v.Name, err), v.Path)
		}
	}
	return nil
}

// volumes are the sizes of the machine's volumes as the guest sees them, in
// MiB, by name.
func (q *monitor) volumes(m drivers.Machine) (map[string]int, error) {
	if len(m.Volumes) == 0 {
		return nil, nil
	}
	reply, err := q.do("query-named-block-nodes", map[string]bool{"flat": true})
	if err != nil {
		return nil, err
	}
	var nodes []struct {
		Name  string `json:"node-name"`
		Image struct {
			Size int `json:"virtual-size"` // bytes
		} `json:"image"`
	}
	if err := json.Unmarshal(reply, &nodes); err != nil {
		return nil, err
	}
	sizes := map[string]int{}
	for _, node := range nodes {
		for n, v := range m.Volumes {
			if node.Name == volumeNode(n) {
				sizes[v.Name] = node.Image.Size / mib
			}
		}
	}
	return sizes, nil
}
