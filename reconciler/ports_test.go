package reconciler_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/lkup/lkup/internal/porttest"
	"github.com/lkup/lkup/spec"
)

func TestAutoPortsAreOfTheirRange(t *testing.T) {
	first := porttest.Of(t).First
	held, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+1))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	v := vm("a", 128)
	for guest := 80; guest < 83; guest++ {
		v.Ports = append(v.Ports, spec.Port{Guest: guest, Auto: true, Address: "127.0.0.1", Protocol: "tcp"})
	}
	for name, test := range map[string]struct {
		ports string
		want  []int // of guest ports 80, 81 and 82
		says  string
	}{
		"one is held": {ports: fmt.Sprintf("%d-%d", first, first+3), want: []int{first, first + 2, first + 3}},
		"too few":     {ports: fmt.Sprintf("%d-%d", first, first+2), says: fmt.Sprintf("no tcp port from %d to %d is free on 127.0.0.1", first, first+2)},
		"one number":  {ports: "20000", says: `LKUP_AUTO_PORTS is "20000", which is no range of ports`},
		"backwards":   {ports: "20001-20000", says: "which is no range of ports"},
		"from zero":   {ports: "0-9", says: "which is no range of ports"},
		"beyond all":  {ports: "65000-65536", says: "which is no range of ports"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			store := w.lock()
			defer store.Close()
			r := w.reconciler(store)
			r.AutoPorts = test.ports
			facts, err := r.ChoosePorts(t.Context(), stackOf(v))
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v, want %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for n, want := range test.want {
				if got := facts.HostPorts["vm.a"][spec.PortKey{Guest: 80 + n, Protocol: "tcp"}]; got != want {
					t.Errorf("for guest port %d: %d, want %d", 80+n, got, want)
				}
			}
		})
	}
}
