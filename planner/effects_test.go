package planner_test

import (
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// fields lists the paths of all fields of a struct, those of its structs and
// lists of structs included.
func fields(t reflect.Type, prefix string) []string {
	var all []string
	for f := range t.Fields() {
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			all = append(all, fields(inner, prefix+f.Name+".")...)
			continue
		}
		all = append(all, prefix+f.Name)
	}
	return all
}

func TestEveryFieldOfAVMHasACost(t *testing.T) {
	var costed []string
	for field := range planner.Costs() {
		costed = append(costed, field)
	}
	slices.Sort(costed)
	want := fields(reflect.TypeFor[spec.VM](), "")
	slices.Sort(want)
	if diff := cmp.Diff(want, costed); diff != "" {
		t.Errorf("add or remove a line in effects.go (-fields of spec.VM +costs): %s", diff)
	}
}

// rootName is what ignore_changes calls a group of attributes.
var rootName = regexp.MustCompile(`^[a-z_]+`)

// alwaysHeard are fields that ignore_changes cannot name.
var alwaysHeard = []string{
	"Docker", "Isolated", "Arch", "Kind", "Conditions", "DependsOn", "Sensitive",
	"Lifecycle.PreventDestroy", "Lifecycle.IgnoreChanges", "Lifecycle.Triggers",
}

// TestEveryFieldOfAVMIsCompared changes each field on its own, and expects the
// change that the table of costs promises.
func TestEveryFieldOfAVMIsCompared(t *testing.T) {
	full := spec.VM{
		Address: "vm.a", Name: "a", Image: "image.x", Driver: "qemu", CPUs: 1, Memory: 256, Running: true,
		Ports:    []spec.Port{{Guest: 80, Host: 8080, Address: "127.0.0.1", Protocol: "tcp"}},
		Shares:   []spec.Share{{Host: ".", Guest: "/srv"}},
		Env:      map[string]string{"K": "v"},
		Firmware: spec.FirmwareBIOS, SSH: spec.Login{User: "root", PrivateKey: "key", HostKey: "ssh-ed25519 AAAA"},
		Seed:    spec.Seed{User: "debian", AuthorizedKeys: []string{"ssh-ed25519 BBBB"}, UserData: "#!/bin/sh\n", Metadata: "{}"},
		Cmdline: "quiet", DependsOn: []spec.Address{"vm.b"}, Kind: spec.KindTask, Command: []string{"true"},
		Health:    spec.Health{Interval: time.Second},
		Ready:     spec.Ready{TCP: 80, HTTP: "http://localhost/", Exec: []string{"true"}, Log: "up", SSH: false, Timeout: time.Minute},
		Mounts:    []spec.Mount{{Volume: "volume.d", Path: "/d", Size: 512}},
		Networks:  []spec.NIC{{Network: "network.n", Name: "n", Subnet: "10.9.0.0/24", Address: "10.9.0.2", Egress: []string{"all"}}},
		Labels:    map[string]string{"tier": "web"},
		Restart:   spec.Restart{Policy: spec.RestartOnFailure, Limit: 5},
		Watch:     []spec.Watch{{Paths: []string{"site/**"}, Action: spec.WatchSync, Target: "/srv"}},
		Sensitive: []string{"cmdline"},
	}
	onWatch := func(change func(*spec.Watch)) func(*spec.VM) {
		return func(v *spec.VM) {
			w := v.Watch[0]
			change(&w)
			v.Watch = []spec.Watch{w}
		}
	}
	onVolume := func(change func(*spec.Mount)) func(*spec.VM) {
		return func(v *spec.VM) {
			m := v.Mounts[0]
			change(&m)
			v.Mounts = []spec.Mount{m}
		}
	}
	onNIC := func(change func(*spec.NIC)) func(*spec.VM) {
		return func(v *spec.VM) {
			n := v.Networks[0]
			change(&n)
			v.Networks = []spec.NIC{n}
		}
	}
	tests := []struct {
		field     string
		attribute string
		change    func(*spec.VM)
		effect    planner.Effect
	}{
		{"Name", "name", func(v *spec.VM) { v.Name = "b" }, planner.EffectRestart},
		{"Image", "image", func(v *spec.VM) { v.Image = "image.y" }, planner.EffectReplace},
		{"Driver", "driver", func(v *spec.VM) { v.Driver = "fake" }, planner.EffectReplace},
		{"CPUs", "cpus", func(v *spec.VM) { v.CPUs = 2 }, planner.EffectRestart},
		{"Memory", "memory", func(v *spec.VM) { v.Memory = 512 }, planner.EffectLive},
		{"Running", "running", func(v *spec.VM) { v.Running = false }, planner.EffectNone},
		{"Ports.Guest", "port[81]", func(v *spec.VM) { v.Ports = []spec.Port{v.Ports[0], port(81, 8081)} }, planner.EffectLive},
		{"Ports.Host", "port[80]", func(v *spec.VM) { v.Ports = []spec.Port{port(80, 8081)} }, planner.EffectLive},
		{"Ports.Auto", "port[80]", func(v *spec.VM) { p := v.Ports[0]; p.Auto = true; v.Ports = []spec.Port{p} }, planner.EffectNone},
		{"Ports.Address", "port[80]", func(v *spec.VM) { p := v.Ports[0]; p.Address = "::1"; v.Ports = []spec.Port{p} }, planner.EffectLive},
		{"Ports.Protocol", "port[80/udp]", func(v *spec.VM) {
			p := v.Ports[0]
			p.Protocol = "udp"
			v.Ports = []spec.Port{v.Ports[0], p}
		}, planner.EffectLive},
		{"Shares.Host", "share[/srv]", func(v *spec.VM) { v.Shares = []spec.Share{{Host: "..", Guest: "/srv"}} }, planner.EffectRestart},
		{"Shares.Guest", "share[/srv]", func(v *spec.VM) { v.Shares = nil }, planner.EffectRestart},
		{"Shares.ReadOnly", "share[/srv]", func(v *spec.VM) { v.Shares = []spec.Share{{Host: ".", Guest: "/srv", ReadOnly: true}} }, planner.EffectRestart},
		{"Shares.Type", "share[/srv]", func(v *spec.VM) { v.Shares = []spec.Share{{Host: ".", Guest: "/srv", Type: spec.ShareSync}} }, planner.EffectRestart},
		{"Shares.Protect", "share[/srv]", func(v *spec.VM) { v.Shares = []spec.Share{{Host: ".", Guest: "/srv", Protect: []string{".env"}}} }, planner.EffectRestart},
		{"Shares.Project", "share[/srv]", func(v *spec.VM) { v.Shares = []spec.Share{{Host: ".", Guest: "/srv", Project: true}} }, planner.EffectRestart},
		{"Shares.AllowSensitive", "share[/srv]", func(v *spec.VM) { v.Shares = []spec.Share{{Host: ".", Guest: "/srv", AllowSensitive: true}} }, planner.EffectNone},
		{"Env", "env.L", func(v *spec.VM) { v.Env = map[string]string{"K": "v", "L": ""} }, planner.EffectRestart},
		{"Secrets", "env.S", func(v *spec.VM) { v.Secrets = map[string]spec.Secret{"S": {Digest: "ab"}} }, planner.EffectRestart},
		{"Docker", "docker", func(v *spec.VM) { v.Docker = true }, planner.EffectNone},
		{"Isolated", "isolated", func(v *spec.VM) { v.Isolated = true }, planner.EffectRestart},
		{"Cmdline", "cmdline", func(v *spec.VM) { v.Cmdline = "" }, planner.EffectRestart},
		{"Arch", "arch", func(v *spec.VM) { v.Arch = spec.ArchARM64 }, planner.EffectReplace},
		{"Firmware", "firmware", func(v *spec.VM) { v.Firmware = spec.FirmwareUEFI }, planner.EffectRestart},
		{"Seed.User", "seed.user", func(v *spec.VM) { v.Seed.User = "ubuntu" }, planner.EffectReplace},
		{"Seed.AuthorizedKeys", "seed.authorized_keys", func(v *spec.VM) { v.Seed.AuthorizedKeys = nil }, planner.EffectReplace},
		{"Seed.UserData", "seed.user_data", func(v *spec.VM) { v.Seed.UserData = "#!/bin/ksh" }, planner.EffectReplace},
		{"Seed.Metadata", "seed.metadata", func(v *spec.VM) { v.Seed.Metadata = "" }, planner.EffectRestart},
		{"SSH.User", "ssh.user", func(v *spec.VM) { v.SSH.User = "core" }, planner.EffectLive},
		{"SSH.PrivateKey", "ssh.private_key", func(v *spec.VM) { v.SSH.PrivateKey = "other" }, planner.EffectLive},
		{"SSH.HostKey", "ssh.host_key", func(v *spec.VM) { v.SSH.HostKey = "" }, planner.EffectLive},
		{"Restart.Policy", "restart", func(v *spec.VM) { v.Restart = spec.Restart{Policy: spec.RestartAlways} }, planner.EffectNone},
		{"Restart.Limit", "restart", func(v *spec.VM) { v.Restart.Limit = 3 }, planner.EffectNone},
		{"StopGracePeriod", "stop_grace_period", func(v *spec.VM) { v.StopGracePeriod = time.Minute }, planner.EffectNone},
		{"Watch.Paths", "watch", func(v *spec.VM) { v.Watch = nil }, planner.EffectNone},
		{"Watch.Ignore", "watch", onWatch(func(w *spec.Watch) { w.Ignore = []string{"*.tmp"} }), planner.EffectNone},
		{"Watch.Action", "watch", onWatch(func(w *spec.Watch) { w.Action = spec.WatchRestart }), planner.EffectNone},
		{"Watch.Target", "watch", onWatch(func(w *spec.Watch) { w.Target = "/var" }), planner.EffectNone},
		{"Watch.Command", "watch", onWatch(func(w *spec.Watch) { w.Command = []string{"true"} }), planner.EffectNone},
		{"Kind", "kind", func(v *spec.VM) { v.Kind = "" }, planner.EffectRestart},
		{"Command", "command", func(v *spec.VM) { v.Command = []string{"false"} }, planner.EffectRestart},
		{"Conditions", "depends_on", func(v *spec.VM) { v.Conditions = map[spec.Address]string{"vm.b": "started"} }, planner.EffectNone},
		{"Health.TCP", "health.tcp", func(v *spec.VM) { v.Health.TCP = 80 }, planner.EffectNone},
		{"Health.HTTP", "health.http", func(v *spec.VM) { v.Health.HTTP = "http://localhost/" }, planner.EffectNone},
		{"Health.Exec", "health.exec", func(v *spec.VM) { v.Health.Exec = []string{"true"} }, planner.EffectNone},
		{"Health.Interval", "health", func(v *spec.VM) { v.Health = spec.Health{} }, planner.EffectNone},
		{"Health.Timeout", "health.timeout", func(v *spec.VM) { v.Health.Timeout = time.Minute }, planner.EffectNone},
		{"Health.StartPeriod", "health.start_period", func(v *spec.VM) { v.Health.StartPeriod = time.Minute }, planner.EffectNone},
		{"Health.Retries", "health.retries", func(v *spec.VM) { v.Health.Retries = 9 }, planner.EffectNone},
		{"DependsOn", "depends_on", func(v *spec.VM) { v.DependsOn = nil }, planner.EffectNone},
		{"Mounts.Volume", "mount[volume.d]", func(v *spec.VM) { v.Mounts = nil }, planner.EffectRestart},
		{"Mounts.Path", "mount[volume.d]", onVolume(func(m *spec.Mount) { m.Path = "/e" }), planner.EffectRestart},
		{"Mounts.Size", "mount[volume.d]", onVolume(func(m *spec.Mount) { m.Size = 1024 }), planner.EffectLive},
		{"Mounts.ReadOnly", "mount[volume.d]", onVolume(func(m *spec.Mount) { m.ReadOnly = true }), planner.EffectRestart},
		{"Networks.Network", "network[network.n]", func(v *spec.VM) { v.Networks = nil }, planner.EffectRestart},
		{"Networks.Name", "network[network.n].name", onNIC(func(n *spec.NIC) { n.Name = "m" }), planner.EffectLive},
		{"Networks.Subnet", "network[network.n].subnet", onNIC(func(n *spec.NIC) { n.Subnet = "10.9.0.0/16" }), planner.EffectRestart},
		{"Networks.Address", "network[network.n].address", onNIC(func(n *spec.NIC) { n.Address = "10.9.0.3" }), planner.EffectRestart},
		{"Networks.Auto", "network[network.n].address", onNIC(func(n *spec.NIC) { n.Auto = true }), planner.EffectNone},
		{"Networks.Default", "network[network.n].default", onNIC(func(n *spec.NIC) { n.Default = true }), planner.EffectRestart},
		{"Networks.Aliases", "network[network.n].aliases", onNIC(func(n *spec.NIC) { n.Aliases = []string{"x"} }), planner.EffectLive},
		{"Networks.DNS", "network[network.n].dns", onNIC(func(n *spec.NIC) { n.DNS = []string{"192.0.2.1"} }), planner.EffectLive},
		{"Networks.Egress", "network[network.n].egress", onNIC(func(n *spec.NIC) { n.Egress = nil }), planner.EffectLive},
		{"Networks.HostAccess", "network[network.n].host_access", onNIC(func(n *spec.NIC) { n.HostAccess = true }), planner.EffectLive},
		{"Labels", "labels.tier", func(v *spec.VM) { v.Labels = nil }, planner.EffectNone},
		{"Lifecycle.PreventDestroy", "lifecycle.prevent_destroy", func(v *spec.VM) { v.Lifecycle.PreventDestroy = true }, planner.EffectNone},
		{"Lifecycle.IgnoreChanges", "lifecycle.ignore_changes", func(v *spec.VM) { v.Lifecycle.IgnoreChanges = []string{"env"} }, planner.EffectNone},
		{"Lifecycle.Triggers", "lifecycle.replace_triggered_by.vm.b", func(v *spec.VM) { v.Lifecycle.Triggers = map[string]string{"vm.b": "1"} }, planner.EffectReplace},
		{"Ready.TCP", "ready.tcp", func(v *spec.VM) { v.Ready.TCP = 81 }, planner.EffectLive},
		{"Ready.HTTP", "ready.http", func(v *spec.VM) { v.Ready.HTTP = "" }, planner.EffectLive},
		{"Ready.Exec", "ready.exec", func(v *spec.VM) { v.Ready.Exec = []string{"true", ""} }, planner.EffectLive},
		{"Ready.Log", "ready.log", func(v *spec.VM) { v.Ready.Log = "down" }, planner.EffectLive},
		{"Ready.SSH", "ready.ssh", func(v *spec.VM) { v.Ready.SSH = true }, planner.EffectLive},
		{"Ready.Timeout", "ready.timeout", func(v *spec.VM) { v.Ready.Timeout = time.Hour }, planner.EffectNone},
		{"Sensitive", "env.K", func(v *spec.VM) { v.Sensitive = []string{"cmdline", "env.K"} }, planner.EffectNone},
		{"Unknown", "memory", func(v *spec.VM) { v.Unknown = []string{"memory"} }, planner.EffectLive},
	}
	tested := map[string]bool{"Address": true, "Origins": true, "Shares.Why": true} // identity, and where things stand
	for _, tt := range tests {
		tested[tt.field] = true
		t.Run(tt.field, func(t *testing.T) {
			want := full
			tt.change(&want)
			in := planner.Input{
				Stack:     &spec.Stack{VMs: map[spec.Address]spec.VM{"vm.a": want}},
				Digests:   digestsOf("image.x", "a", "image.y", "b"),
				Abilities: able,
				Inventory: planner.Inventory{"vm.a": running1(full)},
			}
			effects := func() map[string]planner.Effect {
				got := map[string]planner.Effect{}
				for _, c := range planner.New(in).Steps[0].Changes {
					got[c.Attribute] = c.Effect
					if lost := c.Effect == planner.EffectReplace; c.Loses != lost {
						t.Errorf("%s loses data: %t", c.Attribute, c.Loses)
					}
					if dearer := in.Abilities == nil && c.Effect != tt.effect; dearer != (c.Why != "") {
						t.Errorf("%s costs %s, and why is %q", c.Attribute, c.Effect, c.Why)
					}
				}
				return got
			}
			if diff := cmp.Diff(map[string]planner.Effect{tt.attribute: tt.effect}, effects()); diff != "" {
				t.Error(diff)
			}
			in.Abilities = nil
			unable := tt.effect
			if planner.Costs()[tt.field].Needs != "" || tt.field == "Unknown" {
				unable = planner.EffectRestart
			}
			if diff := cmp.Diff(map[string]planner.Effect{tt.attribute: unable}, effects()); diff != "" {
				t.Errorf("by a driver that can change nothing live: %s", diff)
			}
			if slices.Contains(alwaysHeard, tt.field) {
				return
			}
			have := full
			want.Lifecycle.IgnoreChanges = []string{rootName.FindString(tt.attribute)}
			have.Lifecycle.IgnoreChanges = want.Lifecycle.IgnoreChanges
			in.Stack.VMs["vm.a"], in.Inventory["vm.a"] = want, running1(have)
			if step := planner.New(in).Steps[0]; step.Action != planner.NoOp {
				t.Errorf("ignored, it leads to %s: %+v", step.Action, step.Changes)
			}
		})
	}
	for field := range planner.Costs() {
		if !tested[field] {
			t.Errorf("no row changes %s", field)
		}
	}
}
