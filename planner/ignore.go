package planner

import (
	"maps"
	"slices"
	"strings"

	"github.com/lkup/lkup/spec"
)

// ignored reports whether lifecycle.ignore_changes covers an attribute: by its
// own name, by that of its group, or by "all".
func ignored(vm spec.VM, attribute string) bool {
	return slices.ContainsFunc(vm.Lifecycle.IgnoreChanges, func(name string) bool {
		rest, below := strings.CutPrefix(attribute, name)
		return name == "all" || below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// unignored is want with what was applied in the place of what is ignored.
func unignored(want, have spec.VM) spec.VM {
	if len(want.Lifecycle.IgnoreChanges) == 0 {
		return want
	}
	return mixed(want, have)
}

// mixed stands apart from unignored, because its arguments move to the heap.
func mixed(want, have spec.VM) spec.VM {
	out := want
	for attribute, adopt := range map[string]func(){
		"name":    func() { out.Name = have.Name },
		"image":   func() { out.Image = have.Image },
		"driver":  func() { out.Driver = have.Driver },
		"cpus":    func() { out.CPUs = have.CPUs },
		"memory":  func() { out.Memory = have.Memory },
		"running": func() { out.Running = have.Running },
		"cmdline": func() { out.Cmdline = have.Cmdline },
		"restart": func() { out.Restart = have.Restart },
		"command": func() { out.Command = have.Command },
		"health":  func() { out.Health = have.Health },
		"watch":   func() { out.Watch = have.Watch },

		"stop_grace_period":    func() { out.StopGracePeriod = have.StopGracePeriod },
		"firmware":             func() { out.Firmware = have.Firmware },
		"seed.user":            func() { out.Seed.User = have.Seed.User },
		"seed.authorized_keys": func() { out.Seed.AuthorizedKeys = have.Seed.AuthorizedKeys },
		"seed.user_data":       func() { out.Seed.UserData = have.Seed.UserData },
		"seed.metadata":        func() { out.Seed.Metadata = have.Seed.Metadata },
		"ssh.user":             func() { out.SSH.User = have.SSH.User },
		"ssh.private_key":      func() { out.SSH.PrivateKey = have.SSH.PrivateKey },
		"ssh.host_key":         func() { out.SSH.HostKey = have.SSH.HostKey },
	} {
		if ignored(want, attribute) {
			adopt()
		}
	}
	out.Ports = choose(want, have.Ports, want.Ports, spec.Port.Attribute)
	out.Shares = choose(want, have.Shares, want.Shares, spec.Share.Attribute)
	out.Mounts = choose(want, have.Mounts, want.Mounts, spec.Mount.Attribute)
	out.Networks = choose(want, have.Networks, want.Networks, spec.NIC.Attribute)
	out.Env = chooseTexts(want, "env", have.Env, want.Env)
	out.Secrets = chooseSecrets(want, have.Secrets)
	out.Labels = chooseTexts(want, "labels", have.Labels, want.Labels)
	if ignored(want, "ready") {
		out.Ready = have.Ready
	}
	if ignored(want, "lifecycle") {
		out.Lifecycle = want.Lifecycle // who ignores must be heard
	}
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

// chooseSecrets makes ignored secrets count as unchanged. Their values are the
// wanted ones, since no others are known.
func chooseSecrets(vm spec.VM, have map[string]spec.Secret) map[string]spec.Secret {
	out := maps.Clone(vm.Secrets)
	for name, secret := range out {
		if old, there := have[name]; there && ignored(vm, "env."+name) {
			out[name] = spec.Secret{Value: secret.Value, Digest: old.Digest}
		}
	}
	return out
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
