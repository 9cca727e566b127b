package planner

import (
	"maps"
	"slices"
	"strings"

	"github.com/lkup/lkup/spec"
)

// ignored reports whether lifecycle.ignore_changes covers an attribute.
func ignored(vm spec.VM, attribute string) bool { return vm.Lifecycle.Ignores(attribute) }

// unignored is want with what was applied in the place of what is ignored.
func unignored(want, have spec.VM) spec.VM {
	if len(want.Lifecycle.IgnoreChanges) == 0 {
		return want
	}
	return mixed(want, have)
}

// adoptions put what was applied of an attribute in the place of what is wanted.
var adoptions = map[string]func(out, have *spec.VM){
	"name":    func(out, have *spec.VM) { out.Name = have.Name },
	"image":   func(out, have *spec.VM) { out.Image, out.Arch = have.Image, have.Arch },
	"driver":  func(out, have *spec.VM) { out.Driver = have.Driver },
	"cpus":    func(out, have *spec.VM) { out.CPUs = have.CPUs },
	"memory":  func(out, have *spec.VM) { out.Memory = have.Memory },
	"running": func(out, have *spec.VM) { out.Running = have.Running },
	"cmdline": func(out, have *spec.VM) { out.Cmdline = have.Cmdline },
	"restart": func(out, have *spec.VM) { out.Restart = have.Restart },
	"command": func(out, have *spec.VM) { out.Command = have.Command },
	"watch":   func(out, have *spec.VM) { out.Watch = have.Watch },

	"stop_grace_period":    func(out, have *spec.VM) { out.StopGracePeriod = have.StopGracePeriod },
	"firmware":             func(out, have *spec.VM) { out.Firmware = have.Firmware },
	"seed.user":            func(out, have *spec.VM) { out.Seed.User = have.Seed.User },
	"seed.authorized_keys": func(out, have *spec.VM) { out.Seed.AuthorizedKeys = have.Seed.AuthorizedKeys },
	"seed.user_data":       func(out, have *spec.VM) { out.Seed.UserData = have.Seed.UserData },
	"seed.metadata":        func(out, have *spec.VM) { out.Seed.Metadata = have.Seed.Metadata },
	"ssh.user":             func(out, have *spec.VM) { out.SSH.User = have.SSH.User },
	"ssh.private_key":      func(out, have *spec.VM) { out.SSH.PrivateKey = have.SSH.PrivateKey },
	"ssh.host_key":         func(out, have *spec.VM) { out.SSH.HostKey = have.SSH.HostKey },
	"ready.tcp":            func(out, have *spec.VM) { out.Ready.TCP = have.Ready.TCP },
	"ready.http":           func(out, have *spec.VM) { out.Ready.HTTP = have.Ready.HTTP },
	"ready.exec":           func(out, have *spec.VM) { out.Ready.Exec = have.Ready.Exec },
	"ready.log":            func(out, have *spec.VM) { out.Ready.Log = have.Ready.Log },
	"ready.ssh":            func(out, have *spec.VM) { out.Ready.SSH = have.Ready.SSH },
	"ready.timeout":        func(out, have *spec.VM) { out.Ready.Timeout = have.Ready.Timeout },
	"health.tcp":           func(out, have *spec.VM) { out.Health.TCP = have.Health.TCP },
	"health.http":          func(out, have *spec.VM) { out.Health.HTTP = have.Health.HTTP },
	"health.exec":          func(out, have *spec.VM) { out.Health.Exec = have.Health.Exec },
	"health.interval":      func(out, have *spec.VM) { out.Health.Interval = have.Health.Interval },
	"health.timeout":       func(out, have *spec.VM) { out.Health.Timeout = have.Health.Timeout },
	"health.start_period":  func(out, have *spec.VM) { out.Health.StartPeriod = have.Health.StartPeriod },
	"health.retries":       func(out, have *spec.VM) { out.Health.Retries = have.Health.Retries },
}

// mixed stands apart from unignored, because its arguments move to the heap.
func mixed(want, have spec.VM) spec.VM {
	out := want
	probed := have.Health.Interval != 0 && want.Health.Interval != 0
	for attribute, adopt := range adoptions {
		// Of a health block that comes or goes nothing stays alone.
		if ignored(want, attribute) && (probed || !strings.HasPrefix(attribute, "health.")) {
			adopt(&out, &have)
		}
	}
	if ignored(want, "health") {
		out.Health = have.Health
	}
	out.Ports = choose(want, have.Ports, want.Ports, spec.Port.Attribute)
	out.Shares = choose(want, have.Shares, want.Shares, spec.Share.Attribute)
	out.Mounts = choose(want, have.Mounts, want.Mounts, spec.Mount.Attribute)
	out.Networks = choose(want, have.Networks, want.Networks, spec.NIC.Attribute)
	out.Env = chooseTexts(want, "env", have.Env, want.Env)
	out.Secrets = chooseSecrets(want, have.Secrets)
	out.Labels = chooseTexts(want, "labels", have.Labels, want.Labels)
	out.Sensitive = chooseSensitive(out, want.Sensitive, have.Sensitive)
	out.Unknown = slices.DeleteFunc(slices.Clone(want.Unknown), func(path string) bool { return ignored(want, path) })
	return out
}

// choose takes from have what is ignored, and from want what is not.
func choose[T any](vm spec.VM, have, want []T, attribute func(T) string) []T {
	var out []T
	for _, v := range have {
		if ignored(vm, attribute(v)) {
			out = append(out, v)
		}
	}
	for _, v := range want {
		if !ignored(vm, attribute(v)) {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b T) int { return strings.Compare(attribute(a), attribute(b)) })
	return out
}

// chooseSecrets makes ignored secrets count as unchanged, and leaves out those
// that are new. Their values are the wanted ones, since no others are known.
func chooseSecrets(vm spec.VM, have map[string]spec.Secret) map[string]spec.Secret {
	out := maps.Clone(vm.Secrets)
	for name, secret := range out {
		if !ignored(vm, "env."+name) {
			continue
		}
		if old, there := have[name]; there {
			out[name] = spec.Secret{Value: secret.Value, Digest: old.Digest}
		} else {
			delete(out, name)
		}
	}
	return out
}

// compared is what was applied as want is compared with it: without the ignored
// secrets that are not wanted any more. Nobody has their values, so the machine
// keeps them until it is started anew.
func compared(want spec.VM, have *spec.VM) *spec.VM {
	if len(want.Lifecycle.IgnoreChanges) == 0 || len(have.Secrets) == 0 {
		return have
	}
	gone := func(name string) bool {
		_, wanted := want.Secrets[name]
		_, had := have.Secrets[name]
		return had && !wanted && ignored(want, "env."+name)
	}
	out := *have
	out.Secrets = maps.Clone(have.Secrets)
	maps.DeleteFunc(out.Secrets, func(name string, _ spec.Secret) bool { return gone(name) })
	out.Sensitive = slices.DeleteFunc(slices.Clone(have.Sensitive), func(path string) bool {
		name, env := strings.CutPrefix(path, "env.")
		return env && gone(name)
	})
	return &out
}

// chooseSensitive keeps hidden what is hidden now, and what was when it was
// applied if that is still there. out is the VM without the answer.
func chooseSensitive(out spec.VM, want, have []string) []string {
	if len(want)+len(have) == 0 {
		return nil
	}
	there := func(path string) bool {
		if name, env := strings.CutPrefix(path, "env."); env {
			_, plain := out.Env[name]
			_, secret := out.Secrets[name]
			return plain || secret
		}
		name, label := strings.CutPrefix(path, "labels.")
		_, found := out.Labels[name]
		return found || !label
	}
	all := slices.DeleteFunc(slices.Clone(want), func(path string) bool { return ignored(out, path) && !there(path) })
	for _, path := range have {
		if ignored(out, path) && there(path) {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func chooseTexts(vm spec.VM, group string, have, want map[string]string) map[string]string {
	out := maps.Clone(want)
	for key := range want {
		if ignored(vm, group+"."+key) {
			delete(out, key)
		}
	}
	for key, value := range have {
		if ignored(vm, group+"."+key) {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = value
		}
	}
	return out
}
