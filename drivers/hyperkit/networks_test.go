package hyperkit_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/porttest"
	"github.com/lkup/lkup/network"
)

// stackSwitch is a stack's switch in this process, that can be started anew.
type stackSwitch struct {
	mu      sync.Mutex
	all     *network.Switch
	plugged map[string]network.Machine
}

func newStackSwitch(t *testing.T) *stackSwitch {
	s := &stackSwitch{all: network.New(network.Settings{Stack: "test", Now: time.Now}), plugged: map[string]network.Machine{}}
	t.Cleanup(func() { s.all.Close() })
	return s
}

func (s *stackSwitch) Plug(_ context.Context, m drivers.Machine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := network.Machine{ID: m.ID, Address: string(m.Address), Name: m.Name, NICs: m.NICs, Ports: m.Ports}
	if err := s.all.Plug(now); err != nil {
		return err
	}
	s.plugged[m.ID] = now
	return nil
}

func (s *stackSwitch) Unplug(_ context.Context, m drivers.Machine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.plugged, m.ID)
	s.all.Unplug(m.ID)
	return nil
}

func (s *stackSwitch) Ports(_ context.Context, m drivers.Machine) ([]drivers.Port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Ports(m.ID), nil
}

// again ends the switch and starts another in its place.
func (s *stackSwitch) again(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Close()
	s.all = network.New(network.Settings{Stack: "test", Now: time.Now})
	for _, m := range s.plugged {
		if err := s.all.Plug(m); err != nil {
			t.Fatal(err)
		}
	}
}

// networked is a machine in networks, the n-th of each.
func networked(t *testing.T, n, port int, networks ...string) drivers.Machine {
	t.Helper()
	m := machine(t, t.TempDir())
	m.Name, m.MAC = fmt.Sprint("m", n), ""
	for i, name := range networks {
		address := netip.MustParseAddr(fmt.Sprintf("10.%s.0.%d", strings.TrimLeft(name, "n"), n+1))
		m.NICs = append(m.NICs, drivers.NIC{
			Network: "network." + name, Name: name, MAC: fmt.Sprintf("52:54:00:00:0%d:0%d", i, n), Default: i == 0,
			Socket: filepath.Join(m.RunDir, fmt.Sprint("nic", i)), Switch: filepath.Join(m.RunDir, fmt.Sprint("port", i)),
			Subnet: netip.PrefixFrom(address, 24).Masked(), Gateway: netip.PrefixFrom(address, 24).Masked().Addr().Next(), Address: address,
			Subnet6: netip.MustParsePrefix("fd00::/64"), Address6: netip.MustParseAddr(fmt.Sprintf("fd00::%d", n+1)),
		})
		m.Boot.Cmdline += " ip=" + address.String()
	}
	m.Ports = []drivers.Port{{Guest: 80, Host: port, Address: "127.0.0.1", Protocol: "tcp"}}
	return m
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	block, all := porttest.Of(t), []int{}
	for range n {
		port, err := block.Next()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, port)
	}
	return all
}

// ask asks a machine until it has an answer.
func ask(t *testing.T, method string, port int, path, body string) (answer string) {
	t.Helper()
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	until(t, fmt.Sprintf("%s %s is answered at port %d", method, path, port), func() bool {
		request, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		answer = string(content)
		return err == nil && response.StatusCode == http.StatusOK
	})
	return answer
}

// TestMachinesInNetworksOfTheStack has three, of which one is in both networks.
func TestMachinesInNetworksOfTheStack(t *testing.T) {
	ports := freePorts(t, 4)
	shared := newStackSwitch(t)
	d := driver(program(t), shared)
	a, b, c := networked(t, 1, ports[0], "n8"), networked(t, 2, ports[1], "n8", "n9"), networked(t, 3, ports[2], "n9")
	for _, m := range []drivers.Machine{a, b, c} {
		if s := started(t, d, m); !slices.Equal(s.Ports, m.Ports) {
			t.Errorf("%s: ports %v, want %v", m.Name, s.Ports, m.Ports)
		}
	}
	ask(t, http.MethodPut, ports[1], "/file/word", "from b")
	fetched := func(port int, path string) {
		t.Helper()
		if got := ask(t, http.MethodGet, port, path, ""); got != "from b" {
			t.Errorf("%s at port %d gave %q", path, port, got)
		}
	}
	fetched(ports[0], "/fetch/10.8.0.3/word")
	fetched(ports[2], "/fetch/10.9.0.3/word")
	shared.again(t)
	fetched(ports[0], "/fetch/10.8.0.3/word")

	moved := a
	moved.Ports = []drivers.Port{{Guest: 80, Host: ports[3], Address: "127.0.0.1", Protocol: "tcp"}}
	if err := d.Rewire(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	fetched(ports[3], "/fetch/10.8.0.3/word")
	if s, err := d.Status(t.Context(), moved); err != nil || !slices.Equal(s.Ports, moved.Ports) {
		t.Errorf("status %+v, %v, want ports %v", s, err, moved.Ports)
	}
	if _, err := d.Stop(t.Context(), b, 0); err != nil {
		t.Fatal(err)
	}
	if _, there := shared.plugged[b.ID]; there {
		t.Error("a machine that was stopped is plugged in still")
	}
}

// What does not start must leave nothing in the switch.
func TestAMachineThatDoesNotStartIsUnplugged(t *testing.T) {
	shared := newStackSwitch(t)
	m := networked(t, 1, freePorts(t, 1)[0], "n8")
	d := driver(program(t), shared)
	t.Cleanup(func() {
		if err := d.Delete(context.Background(), m); err != nil {
			t.Error(err)
		}
	})
	if err := d.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.Boot.Kernel = file(t, "kernel", make([]byte, 0x202))
	if err := d.Start(t.Context(), m); err == nil {
		t.Error("it starts without a kernel")
	}
	m.Boot.Kernel = kernel(t)
	m.CPUs = 0 // Hyperkit itself refuses it
	if err := d.Start(t.Context(), m); err == nil {
		t.Error("it starts without a processor")
	}
	if len(shared.plugged) > 0 {
		t.Error("it is plugged in still")
	}
	m.CPUs = 1
	if err := driver(program(t), nil).Start(t.Context(), m); err == nil || !strings.Contains(err.Error(), "no switch") {
		t.Errorf("it starts without a switch: %v", err)
	}
}
