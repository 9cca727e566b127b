package planner_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

var update = flag.Bool("update", false, "write the golden files")

func port(guest, host int) spec.Port {
	return spec.Port{Guest: guest, Host: host, Address: "127.0.0.1", Protocol: "tcp"}
}

func digestsOf(pairs ...string) map[spec.Address]sources.Digest {
	all := map[spec.Address]sources.Digest{}
	for i := 0; i < len(pairs); i += 2 {
		all[spec.Address(pairs[i])] = digest(pairs[i+1])
	}
	return all
}

// able is a driver that can change live all that any can.
var able = map[string][]drivers.Ability{"qemu": {drivers.LivePorts, drivers.LiveMemory, drivers.LiveVolumes, drivers.LiveNetworks}}

// running1 is an instance that runs as applied.
func running1(vm spec.VM) planner.Instance {
	return planner.Instance{
		Address: vm.Address, ID: "0000000" + string(vm.Address[3:4]), Applied: vm, Digest: digest("a"), Driver: "qemu",
		Status: drivers.Status{State: drivers.Running, Ports: heldPorts(vm), Memory: vm.Memory, MemoryMax: 512}, Proven: true, Created: true,
	}
}

// scenario is a stack before and after, with what happened in between.
type scenario struct {
	before, after []spec.VM
	happened      func(planner.Inventory)
	with          func(*planner.Input)
}

// machine is a VM of the scenarios, with dependencies.
func machine(name string, change func(*spec.VM), deps ...spec.Address) spec.VM {
	vm := spec.VM{
		Address: spec.Address("vm." + name), Name: name, Image: "image.x", Driver: "auto", CPUs: 1, Memory: 256,
		Running: true, DependsOn: deps, Ready: spec.Ready{Timeout: time.Minute},
		Origins: map[string]spec.Pos{"": {File: "lkup.hcl", Line: 10 * int(name[0]-'a'+1), Column: 1}},
	}
	if change != nil {
		change(&vm)
	}
	return vm
}

// wrote notes the line of an attribute.
func wrote(vm *spec.VM, attribute string) {
	vm.Origins[attribute] = spec.Pos{File: "lkup.hcl", Line: vm.Origins[""].Line + 2, Column: 3}
}

func moreMemory(vm *spec.VM)   { vm.Memory = 512; wrote(vm, "memory") }
func otherImage(vm *spec.VM)   { vm.Image = "image.y"; wrote(vm, "image") }
func notRunning(vm *spec.VM)   { vm.Running = false; wrote(vm, "running") }
func otherTimeout(vm *spec.VM) { vm.Ready.Timeout = time.Hour; wrote(vm, "ready.timeout") }

func on(ports ...spec.Port) func(*spec.VM) {
	return func(vm *spec.VM) {
		vm.Ports = ports
		for _, p := range ports {
			wrote(vm, p.Attribute())
		}
	}
}

func protected(vm *spec.VM) {
	vm.Lifecycle.PreventDestroy = true
	wrote(vm, "lifecycle.prevent_destroy")
}

func mounted(size int) func(*spec.VM) {
	return func(vm *spec.VM) {
		vm.Mounts = []spec.Mount{{Volume: "volume.d", Path: "/d", Size: size}}
		wrote(vm, "mount[volume.d]")
	}
}

func trigger(value string) func(*spec.VM) {
	return func(vm *spec.VM) { vm.Lifecycle.Triggers = map[string]string{"var.x": value} }
}

func auto(guest, host int) spec.Port {
	p := port(guest, host)
	p.Auto = true
	return p
}

func state(a spec.Address, s drivers.Status) func(planner.Inventory) {
	return func(all planner.Inventory) {
		i := all[a]
		i.Status = s
		all[a] = i
	}
}

func scenarios() map[string]scenario {
	chain := []spec.VM{machine("a", nil), machine("b", nil, "vm.a"), machine("c", nil, "vm.b")}
	one := []spec.VM{machine("a", nil)}
	everywhere := port(80, 8080)
	everywhere.Address = "0.0.0.0"
	return map[string]scenario{
		"nothing":             {},
		"create-in-order":     {after: chain},
		"unchanged":           {before: chain, after: chain},
		"delete-in-order":     {before: chain},
		"destroy":             {before: chain, after: chain, with: func(in *planner.Input) { in.Destroy = true }},
		"restart-the-first":   {before: chain, after: []spec.VM{machine("a", moreMemory), chain[1], chain[2]}},
		"restart-all":         {before: chain, after: []spec.VM{machine("a", moreMemory), machine("b", moreMemory, "vm.a"), machine("c", moreMemory, "vm.b")}},
		"replace-by-image":    {before: one, after: []spec.VM{machine("a", func(vm *spec.VM) { otherImage(vm); moreMemory(vm) })}},
		"replace-by-digest":   {before: one, after: one, with: func(in *planner.Input) { in.Digests["image.x"] = digest("c") }},
		"same-files-new-name": {before: one, after: []spec.VM{machine("a", otherImage)}, with: func(in *planner.Input) { in.Digests["image.y"] = digest("a") }},
		"update":              {before: one, after: []spec.VM{machine("a", otherTimeout)}},
		"stop":                {before: one, after: []spec.VM{machine("a", notRunning)}},
		"start-again":         {before: []spec.VM{machine("a", notRunning)}, after: one, happened: state("vm.a", drivers.Status{State: drivers.Stopped})},
		"create-stopped":      {after: []spec.VM{machine("a", notRunning)}},
		"drift-killed": {before: chain, after: chain,
			happened: state("vm.b", drivers.Status{State: drivers.Stopped, Detail: "its process is gone"})},
		"drift-killed-and-changed": {before: one, after: []spec.VM{machine("a", moreMemory)},
			happened: state("vm.a", drivers.Status{State: drivers.Stopped})},
		"drift-paused": {before: one, after: one, happened: state("vm.a", drivers.Status{State: drivers.Paused})},
		"drift-gone":   {before: one, after: one, happened: state("vm.a", drivers.Status{State: drivers.Absent})},
		"drift-running": {before: []spec.VM{machine("a", notRunning)}, after: []spec.VM{machine("a", notRunning)},
			happened: state("vm.a", drivers.Status{State: drivers.Running})},
		"unproven": {before: one, after: one, happened: func(all planner.Inventory) {
			i := all["vm.a"]
			i.Proven = false
			all["vm.a"] = i
		}},
		"unfinished": {before: one, after: []spec.VM{machine("a", moreMemory)}, happened: func(all planner.Inventory) {
			i := all["vm.a"]
			i.Created, i.Status = false, drivers.Status{State: drivers.Absent}
			all["vm.a"] = i
		}},
		"unknown-state": {before: chain, after: []spec.VM{chain[0], chain[1], machine("c", moreMemory, "vm.b"), machine("d", nil)},
			happened: state("vm.b", drivers.Status{State: drivers.Unknown, Detail: "process 7 is not proven ours"})},
		"ports-swapped": {
			before: []spec.VM{machine("a", on(port(80, 8080))), machine("b", on(port(80, 8081)))},
			after:  []spec.VM{machine("a", on(port(80, 8081))), machine("b", on(port(80, 8080)))},
		},
		"port-taken-over-by-all-addresses": {before: []spec.VM{machine("b", on(port(80, 8080)))}, after: []spec.VM{machine("a", on(everywhere))}},
		"port-held-by-one-left-alone": {
			before: []spec.VM{machine("a", on(port(80, 8080)))},
			after:  []spec.VM{machine("a", on(port(80, 8081))), machine("b", on(port(80, 8080))), machine("c", nil, "vm.b")},
			with:   func(in *planner.Input) { in.Targets = []spec.Address{"vm.c"} },
		},
		"port-seen-to-be-held": {
			before: []spec.VM{machine("a", nil)}, after: []spec.VM{machine("a", moreMemory), machine("b", on(port(80, 40022)))},
			happened: state("vm.a", drivers.Status{State: drivers.Running, Ports: []drivers.Port{{Address: "127.0.0.1", Host: 40022, Guest: 22, Protocol: "tcp"}}}),
		},
		"port-maybe-held": {
			before: []spec.VM{machine("a", on(port(80, 8080)))}, after: []spec.VM{machine("b", on(port(80, 8080)))},
			happened: state("vm.a", drivers.Status{State: drivers.Unknown}),
		},
		"ports-auto": {
			before: []spec.VM{machine("a", on(auto(80, 40001))), machine("b", on(auto(80, 40002))), machine("c", on(port(80, 8080)))},
			after:  []spec.VM{machine("a", on(auto(80, 0))), machine("b", on(auto(80, 40002))), machine("c", on(auto(80, 0))), machine("d", on(auto(80, 0)))},
		},
		"known-after-apply": {
			before: one,
			after: []spec.VM{machine("a", func(vm *spec.VM) {
				vm.Unknown = []string{"env.URL", "memory"}
				vm.Memory = 0
				wrote(vm, "env.URL")
			}, "vm.b"), machine("b", on(auto(80, 0)))},
			with: func(in *planner.Input) { delete(in.Digests, "image.x") },
		},
		"env-shares-and-secrets": {
			before: []spec.VM{machine("a", func(vm *spec.VM) {
				vm.Env = map[string]string{"GONE": "1", "SECRET": "old", "SAME": "x"}
				vm.Shares = []spec.Share{{Host: "./a", Guest: "/a"}, {Host: "./b", Guest: "/b"}}
			})},
			after: []spec.VM{machine("a", func(vm *spec.VM) {
				vm.Env = map[string]string{"NEW": "", "SECRET": "new", "SAME": "x"}
				vm.Shares = []spec.Share{{Host: "./a", Guest: "/a", ReadOnly: true}, {Host: "./c", Guest: "/c"}}
				vm.Sensitive = []string{"env.SECRET"}
				wrote(vm, "env.NEW")
				wrote(vm, "env")
			})},
		},
		"dependencies-turned-round": {
			before:   []spec.VM{machine("a", nil, "vm.b"), machine("b", nil, "vm.a")}, // as two half applies leave it
			happened: func(planner.Inventory) {},
		},
		"target-and-what-it-needs": {after: append(chain, machine("d", nil)), with: func(in *planner.Input) { in.Targets = []spec.Address{"vm.b"} }},
		"target-destroyed-with-what-needs-it": {before: append(chain, machine("d", nil)), after: chain, with: func(in *planner.Input) {
			in.Destroy, in.Targets = true, []spec.Address{"vm.b"}
		}},
		"memory-within-what-it-was-started-with": {before: []spec.VM{machine("a", nil)}, after: []spec.VM{machine("a", moreMemory)}},
		"memory-beyond-what-it-was-started-with": {before: one, after: []spec.VM{machine("a", func(vm *spec.VM) { vm.Memory = 1024; wrote(vm, "memory") })}},
		"live-by-a-driver-that-cannot":           {before: one, after: []spec.VM{machine("a", on(port(80, 8080)))}, with: func(in *planner.Input) { in.Abilities = nil }},
		"drift-port-and-memory": {before: []spec.VM{machine("a", on(port(80, 8080)))}, after: []spec.VM{machine("a", on(port(80, 8080)))},
			happened: state("vm.a", drivers.Status{State: drivers.Running, Memory: 128, MemoryMax: 256,
				Ports: []drivers.Port{{Address: "127.0.0.1", Host: 9999, Guest: 99, Protocol: "tcp"}}})},
		"refresh-only": {before: []spec.VM{machine("a", on(port(80, 8080))), machine("b", nil), machine("c", nil)}, after: chain,
			happened: func(all planner.Inventory) {
				state("vm.a", drivers.Status{State: drivers.Running, Memory: 128, MemoryMax: 256})(all)
				state("vm.b", drivers.Status{State: drivers.Absent})(all)
			},
			with: func(in *planner.Input) { in.RefreshOnly = true }},
		"disk-gone-and-manifest-edited": {before: []spec.VM{machine("a", mounted(512))}, after: []spec.VM{machine("a", mounted(512))},
			happened: func(all planner.Inventory) {
				i := all["vm.a"]
				i.Lost, i.Edited = []spec.Address{"volume.d"}, true
				all["vm.a"] = i
			}},
		"volume-grows":            {before: []spec.VM{machine("a", mounted(512))}, after: []spec.VM{machine("a", mounted(1024))}},
		"volume-cannot-shrink":    {before: []spec.VM{machine("a", mounted(512))}, after: []spec.VM{machine("a", mounted(256))}},
		"replace-asked-for":       {before: chain, after: chain, with: func(in *planner.Input) { in.Replace = []spec.Address{"vm.b"} }},
		"excluded-with-dependent": {before: one, after: []spec.VM{machine("a", moreMemory), machine("b", nil, "vm.a"), machine("c", nil)}, with: func(in *planner.Input) { in.Exclude = []spec.Address{"vm.a"} }},
		"prevented": {before: []spec.VM{machine("a", protected), machine("b", protected)},
			after: []spec.VM{machine("a", func(vm *spec.VM) { protected(vm); otherImage(vm) })}},
		"changes-ignored": {before: one, after: []spec.VM{machine("a", func(vm *spec.VM) {
			moreMemory(vm)
			otherImage(vm)
			vm.Env = map[string]string{"A": "1", "B": "2"}
			vm.Lifecycle.IgnoreChanges = []string{"env.A", "image", "memory"}
		})}},
		"moved": {before: []spec.VM{machine("a", nil), machine("b", nil)}, after: []spec.VM{machine("c", nil), machine("d", moreMemory)}, with: func(in *planner.Input) {
			in.Stack.Moved = []spec.Moved{{From: "vm.a", To: "vm.c", Origin: spec.Pos{File: "lkup.hcl", Line: 1}}, {From: "vm.b", To: "vm.d", Origin: spec.Pos{File: "lkup.hcl", Line: 5}}}
		}},
		"removed-and-forgotten": {before: chain, after: chain[:1], with: func(in *planner.Input) {
			in.Stack.Removed = []spec.Removed{{From: "vm.b", Destroy: false, Origin: spec.Pos{File: "lkup.hcl", Line: 1}}, {From: "vm.c", Destroy: true}}
		}},
		"triggered": {before: []spec.VM{machine("a", trigger("1"))}, after: []spec.VM{machine("a", trigger("2"))}},
		"because-of-a-file": {before: one, after: one, with: func(in *planner.Input) {
			in.Digests["image.x"] = digest("c")
			i := in.Inventory["vm.a"]
			i.Sources = map[string]spec.Fingerprint{
				"image.x":         {Digest: "1", From: []string{"site/nginx.conf"}},
				"site/nginx.conf": {Digest: "2", Lines: []uint32{1, 2, 3}},
				"site/same":       {Digest: "5"},
			}
			in.Inventory["vm.a"] = i
			in.Sources = map[string]spec.Fingerprint{
				"image.x":         {Digest: "3", From: []string{"site/nginx.conf", "site/same"}},
				"site/nginx.conf": {Digest: "4", Lines: []uint32{1, 7, 3}},
				"site/same":       {Digest: "5"},
			}
		}},
		"because-of-a-variable": {before: one, after: []spec.VM{machine("a", moreMemory)}, with: func(in *planner.Input) {
			at := spec.Pos{File: "lkup.hcl", Line: 12, Column: 3}
			in.Stack.From = map[spec.Pos][]string{at: {"local.same", "local.size"}}
			i := in.Inventory["vm.a"]
			i.Status.MemoryMax = 256
			i.Sources = map[string]spec.Fingerprint{
				"local.same": {Digest: "0"},
				"local.size": {Digest: "1", Text: "\"256MiB\""}, "var.big": {Digest: "2", Text: "false"},
			}
			in.Inventory["vm.a"] = i
			in.Sources = map[string]spec.Fingerprint{
				"local.same": {Digest: "0"},
				"local.size": {Digest: "3", Text: "\"512MiB\"", Origin: spec.Pos{File: "lkup.hcl", Line: 3, Column: 1}, From: []string{"var.big"}},
				"var.big":    {Digest: "4", Text: "true", Origin: spec.Pos{File: "prod.lkupvars", Line: 2, Column: 1}},
			}
		}},
		"other-driver": {before: one, after: one, with: func(in *planner.Input) { in.Drivers["vm.a"] = "fake" }},
		"outputs": {before: one, after: one, with: func(in *planner.Input) {
			in.Outputs = map[string]any{"same": []any{1.0}, "other": "a", "gone": "x"}
			in.Stack.Outputs = map[string]spec.Output{
				"same": {Value: []any{1.0}, Known: true}, "other": {Value: "b", Known: true},
				"new": {Value: nil, Known: true}, "later": {},
			}
		}},
	}
}

func (s scenario) input() planner.Input {
	in := planner.Input{
		Stack:     &spec.Stack{Name: "s", VMs: map[spec.Address]spec.VM{}},
		Digests:   digestsOf("image.x", "a", "image.y", "b"),
		Drivers:   map[spec.Address]string{},
		Abilities: able,
		Inventory: planner.Inventory{},
	}
	for _, vm := range s.before {
		in.Inventory[vm.Address] = running1(vm)
	}
	for _, vm := range s.after {
		in.Stack.VMs[vm.Address] = vm
		in.Drivers[vm.Address] = "qemu"
	}
	if s.happened != nil {
		s.happened(in.Inventory)
	}
	if s.with != nil {
		s.with(&in)
	}
	return in
}

// TestPlansOfScenarios compares plans with testdata, without the VMs that the
// scenarios themselves hold.
func TestPlansOfScenarios(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			plan := planner.New(s.input())
			var said []string
			for i := range plan.Steps {
				said = append(said, plan.Steps[i].Sentence())
				plan.Steps[i].Want, plan.Steps[i].Have = nil, nil
			}
			content, err := json.MarshalIndent(struct {
				Sentences []string `json:"sentences"`
				*planner.Plan
			}{said, plan}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got := string(content) + "\n"
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

func TestABlockedStepNamesTheFirstHolder(t *testing.T) {
	everywhere := port(80, 8080)
	everywhere.Address = "0.0.0.0"
	var there []spec.VM
	for n, name := range []string{"b", "c", "d", "e", "f"} {
		p := port(80, 8080)
		p.Address = "127.0.0." + string(rune('1'+n))
		there = append(there, machine(name, on(p)))
	}
	s := scenario{before: there, after: append(there, machine("a", on(everywhere))), with: func(in *planner.Input) {
		in.Targets = []spec.Address{"vm.a"}
	}}
	for range 20 { // maps have no order
		got := planner.New(s.input()).Steps[0].Blocked
		if diff := cmp.Diff("host port 0.0.0.0:8080 is held by vm.b, which this plan leaves alone", got); diff != "" {
			t.Fatal(diff)
		}
	}
}
