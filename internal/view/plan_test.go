package view_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

func vm(name string, line int) spec.VM {
	return spec.VM{
		Address: spec.Address("vm." + name), Name: name, Image: "template.web", Driver: "auto",
		CPUs: 1, Memory: 256, Running: true, Ready: spec.Ready{Timeout: 2 * time.Minute},
		Origins: map[string]spec.Pos{"": {File: "lkup.hcl", Line: line, Column: 1}},
	}
}

func at(vm spec.VM, attribute string, line int) {
	vm.Origins[attribute] = spec.Pos{File: "lkup.hcl", Line: line, Column: 3}
}

func there(vm spec.VM, id string) planner.Instance {
	return planner.Instance{
		Address: vm.Address, ID: id, Applied: vm, Driver: "qemu", Created: true, Proven: true,
		Digest: webDigest, Status: drivers.Status{State: drivers.Running},
	}
}

const (
	webDigest = sources.Digest("sha256:aaaaaaaaaaaa0000000000000000000000000000000000000000000000000000")
	newDigest = sources.Digest("sha256:bbbbbbbbbbbb0000000000000000000000000000000000000000000000000000")
)

// busyPlan has a step of every kind.
func busyPlan() *planner.Plan {
	in := planner.Input{
		Stack:     &spec.Stack{Name: "shop", VMs: map[spec.Address]spec.VM{}, Outputs: map[string]spec.Output{}},
		Digests:   map[spec.Address]sources.Digest{"template.web": webDigest, "template.new": newDigest},
		Inventory: planner.Inventory{},
		Outputs:   map[string]any{"gone": "old", "url": "http://127.0.0.1:8080/", "token": "abc"},
	}
	want := func(vm spec.VM) { in.Stack.VMs[vm.Address] = vm }
	have := func(i planner.Instance) { in.Inventory[i.Address] = i }

	created := vm("created", 10)
	created.CPUs, created.Memory = 2, 1024
	created.Ports = []spec.Port{
		{Guest: 80, Host: 8081, Address: "127.0.0.1", Protocol: "tcp"},
		{Guest: 53, Auto: true, Address: "::1", Protocol: "udp"},
	}
	created.Unknown = []string{"env.API"}
	at(created, "env.API", 14)
	want(created)

	restarted := vm(`restarted["blue"]`, 20)
	restarted.Name = "restarted-blue"
	old := restarted
	old.Env = map[string]string{"A": "1\x1b[31m", "GONE": "x", "SECRET": "s1"}
	restarted.Memory = 512
	restarted.Env = map[string]string{"A": "2", "SECRET": "s2"}
	restarted.Sensitive = []string{"env.SECRET"}
	at(restarted, "memory", 22)
	at(restarted, "env.A", 24)
	want(restarted)
	have(there(old, "00000001"))

	replaced := vm("replaced", 30)
	have(there(replaced, "00000002"))
	replaced.Image, replaced.Memory = "template.new", 384
	at(replaced, "image", 31)
	at(replaced, "memory", 32)
	want(replaced)

	killed := there(vm("killed", 40), "00000003")
	killed.Status = drivers.Status{State: drivers.Stopped, Detail: "its process is gone"}
	have(killed)
	want(killed.Applied)

	unproven := there(vm("unproven", 45), "00000004")
	unproven.Proven = false
	have(unproven)
	want(unproven.Applied)

	updated := vm("updated", 50)
	have(there(updated, "00000005"))
	updated.Ready.TCP = 80
	at(updated, "ready", 52)
	want(updated)

	stopped := vm("stopped", 60)
	have(there(stopped, "00000006"))
	stopped.Running = false
	at(stopped, "running", 61)
	want(stopped)

	have(there(vm("deleted", 1), "00000007"))
	lost := there(vm("lost", 70), "00000008")
	lost.Status = drivers.Status{State: drivers.Unknown, Detail: "process 4711 has its pid, and another start time"}
	have(lost)
	want(lost.Applied)
	same := there(vm("same", 80), "00000009")
	have(same)
	want(same.Applied)

	in.Stack.Outputs["url"] = spec.Output{Name: "url", Value: "http://127.0.0.1:9090/", Known: true}
	in.Stack.Outputs["list"] = spec.Output{Name: "list", Value: []any{"a", 1.0}, Known: true}
	in.Stack.Outputs["later"] = spec.Output{Name: "later"}
	in.Stack.Outputs["token"] = spec.Output{Name: "token", Value: "def", Known: true, Sensitive: true}
	return planner.New(in)
}

func TestPlan(t *testing.T) {
	same := vm("a", 1)
	quiet := func(names ...string) *planner.Plan {
		in := planner.Input{
			Stack:     &spec.Stack{VMs: map[spec.Address]spec.VM{}},
			Digests:   map[spec.Address]sources.Digest{"template.web": webDigest},
			Inventory: planner.Inventory{},
		}
		for _, n := range names {
			same = vm(n, 1)
			in.Stack.VMs[same.Address], in.Inventory[same.Address] = same, there(same, "00000001")
		}
		return planner.New(in)
	}
	onlyOutputs := quiet("a")
	onlyOutputs.Outputs = []planner.OutputChange{{Name: "n", New: 1.0, Known: true, Added: true}}
	tests := []struct {
		name  string
		style view.Style
		plan  *planner.Plan
	}{
		{"plan-every-action.txt", pipe, busyPlan()},
		{"plan-every-action-color.txt", terminal, busyPlan()},
		{"plan-nothing-there.txt", pipe, quiet()},
		{"plan-one-unchanged.txt", pipe, quiet("a")},
		{"plan-unchanged.txt", pipe, quiet("a", "b", "c")},
		{"plan-outputs-alone.txt", pipe, onlyOutputs},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			golden(t, tt.name, printed(t, func(b *strings.Builder) error { return view.Plan(b, tt.style, tt.plan) }))
		})
	}
}

func TestPlanJSON(t *testing.T) {
	got := printed(t, func(b *strings.Builder) error { return view.PlanJSON(b, busyPlan()) })
	golden(t, "plan.json", got)
	for _, secret := range []string{`"s1"`, `"s2"`, `"def"`, `"abc"`} {
		if strings.Contains(got, secret) {
			t.Errorf("the plan shows the secret %s", secret)
		}
	}
}
