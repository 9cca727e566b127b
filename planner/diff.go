package planner

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

const hidden = "(sensitive)"

// diff lists how a VM's wanted attributes differ from the applied ones.
type diff struct {
	driver     string // that is to run it
	abilities  []drivers.Ability
	most       int // MiB that the running machine can be given; 0 if it does not run
	have, want *spec.VM
	changes    []Change
}

// pinned is an image with its digest, which may be unknown.
type pinned struct {
	image  spec.Address
	digest sources.Digest
}

// attributes compares everything but image and driver, whose identity is not
// in the VM alone.
func (d *diff) attributes() {
	h, w := d.have, d.want
	scalar(d, "name", "Name", h.Name, w.Name, quoted)
	scalar(d, "arch", "Arch", h.Arch, w.Arch, quoted)
	scalar(d, "cpus", "CPUs", h.CPUs, w.CPUs, strconv.Itoa)
	d.memory(h.Memory, w.Memory)
	scalar(d, "running", "Running", h.Running, w.Running, strconv.FormatBool)
	d.ports()
	d.shares()
	d.mounts()
	d.networks()
	d.env()
	scalar(d, "isolated", "Isolated", h.Isolated, w.Isolated, flagText)
	scalar(d, "docker", "Docker", h.Docker, w.Docker, flagText)
	scalar(d, "cmdline", "Cmdline", h.Cmdline, w.Cmdline, quoted)
	scalar(d, "firmware", "Firmware", h.Firmware, w.Firmware, quoted)
	d.seed(&h.Seed, &w.Seed)
	scalar(d, "ssh.user", "SSH.User", h.SSH.User, w.SSH.User, quoted)
	scalar(d, "ssh.private_key", "SSH.PrivateKey", h.SSH.PrivateKey, w.SSH.PrivateKey, quoted)
	scalar(d, "ssh.host_key", "SSH.HostKey", h.SSH.HostKey, w.SSH.HostKey, quoted)
	scalar(d, "restart", "Restart.Policy", h.Restart, w.Restart, spec.Restart.String)
	scalar(d, "stop_grace_period", "StopGracePeriod", h.StopGracePeriod, w.StopGracePeriod, periodText)
	if !slices.EqualFunc(h.Watch, w.Watch, spec.Watch.Equal) {
		d.element("watch", watchText(h.Watch), watchText(w.Watch), d.cost("Watch.Paths"))
	}
	scalar(d, "kind", "Kind", h.Kind, w.Kind, kindText)
	list(d, "command", "Command", h.Command, w.Command, wordsText)
	if !slices.Equal(h.DependsOn, w.DependsOn) || !maps.Equal(h.Conditions, w.Conditions) {
		d.element("depends_on", dependsText(h), dependsText(w), d.cost("DependsOn"))
	}
	d.ready(&h.Ready, &w.Ready)
	d.health(&h.Health, &w.Health)
	d.texts("labels", "Labels", h.Labels, w.Labels)
	scalar(d, "lifecycle.prevent_destroy", "Lifecycle.PreventDestroy", h.Lifecycle.PreventDestroy, w.Lifecycle.PreventDestroy, flagText)
	list(d, "lifecycle.ignore_changes", "Lifecycle.IgnoreChanges", h.Lifecycle.IgnoreChanges, w.Lifecycle.IgnoreChanges, wordsText)
	d.texts("lifecycle.replace_triggered_by", "Lifecycle.Triggers", h.Lifecycle.Triggers, w.Lifecycle.Triggers)
	d.sensitivity()
}

func (d *diff) image(have, want pinned) {
	switch {
	case have.digest == want.digest && have.image == want.image:
	case want.digest == "" && have.image == want.image:
		// Nothing that is known differs, so what is there stays.
	case want.digest == "":
		d.add(Change{Attribute: "image", Old: string(have.image), Unknown: true}, d.cost("Image"))
	case have.digest == want.digest:
		d.add(Change{Attribute: "image", Old: string(have.image), New: string(want.image)}, price{effect: EffectNone})
	case have.image != want.image:
		d.add(Change{Attribute: "image", Old: string(have.image), New: string(want.image)}, d.cost("Image"))
	default:
		d.add(Change{Attribute: "image", Old: digestText(have.digest), New: digestText(want.digest)}, d.cost("Image"))
	}
}

// scalar compares two values of an attribute.
func scalar[T comparable](d *diff, attribute, field string, have, want T, text func(T) string) {
	if have != want || d.unknown(attribute) {
		d.element(attribute, text(have), text(want), d.cost(field))
	}
}

// list compares two lists, of which the order counts.
func list[T comparable](d *diff, attribute, field string, have, want []T, text func([]T) string) {
	if !slices.Equal(have, want) || d.unknown(attribute) {
		d.element(attribute, text(have), text(want), d.cost(field))
	}
}

func (d *diff) unknown(attribute string) bool { return slices.Contains(d.want.Unknown, attribute) }

// element compares two texts; "" is "not there".
func (d *diff) element(attribute, have, want string, p price) {
	if d.unknown(attribute) {
		d.add(Change{Attribute: attribute, Old: have, Unknown: true}, p)
		return
	}
	if have != want {
		d.add(Change{Attribute: attribute, Old: have, New: want}, p)
	}
}

func (d *diff) add(c Change, p price) {
	c.Effect, c.Loses, c.Why = p.effect, p.loses, p.why
	if c.Unknown || c.New != "" {
		c.Origin = d.want.Origin(c.Attribute)
	}
	if d.sensitive(c.Attribute) {
		c.Old, c.New = mask(c.Old), mask(c.New)
	}
	d.changes = append(d.changes, c)
}

// sensitive reports whether a change's values, the old ones too, are hidden.
func (d *diff) sensitive(attribute string) bool {
	return slices.Contains(d.want.Sensitive, attribute) || slices.Contains(d.have.Sensitive, attribute)
}

func mask(text string) string {
	if text == "" {
		return ""
	}
	return hidden
}

func (d *diff) ports() {
	open := func(p spec.Port) bool { return p.Host == 0 || d.unknown(p.Attribute()) }
	if slices.Equal(d.have.Ports, d.want.Ports) && !slices.ContainsFunc(d.want.Ports, open) {
		return
	}
	have, want := map[spec.PortKey]spec.Port{}, map[spec.PortKey]spec.Port{}
	keys := make([]spec.PortKey, 0, len(d.have.Ports)+len(d.want.Ports))
	for _, p := range d.want.Ports {
		want[p.Key()] = p
		keys = append(keys, p.Key())
	}
	for _, p := range d.have.Ports {
		have[p.Key()] = p
		if _, both := want[p.Key()]; !both {
			keys = append(keys, p.Key())
		}
	}
	for _, k := range keys {
		h, there := have[k]
		w, wanted := want[k]
		d.port(k.Attribute(), h, there, w, wanted)
	}
}

func (d *diff) port(attribute string, have spec.Port, there bool, want spec.Port, wanted bool) {
	switch {
	case there && !wanted:
		d.element(attribute, portText(have), "", d.dearestOf("Ports."))
	case wanted && want.Host == 0:
		old := ""
		if there {
			old = portText(have)
		}
		d.add(Change{Attribute: attribute, Old: old, Unknown: true}, d.dearestOf("Ports."))
	case !there:
		d.element(attribute, "", portText(want), d.dearestOf("Ports."))
	default:
		d.element(attribute, portText(have), portText(want), d.differing(map[string]bool{
			"Ports.Host":    have.Host != want.Host,
			"Ports.Address": have.Address != want.Address,
			"Ports.Auto":    have.Auto != want.Auto,
		}))
	}
}

// dearestOf is what an element of a list costs as a whole.
func (d *diff) dearestOf(prefix string) price {
	var top price
	for field := range costs {
		if strings.HasPrefix(field, prefix) {
			top = dearer(top, d.cost(field))
		}
	}
	return top
}

// differing is what the fields cost that differ.
func (d *diff) differing(fields map[string]bool) price {
	top := price{effect: EffectNone}
	for field, differs := range fields {
		if differs {
			top = dearer(top, d.cost(field))
		}
	}
	return top
}

// memory can be given and taken up to what the running machine was started with.
func (d *diff) memory(have, want int) {
	p := d.cost("Memory")
	if p.effect == EffectLive && d.most > 0 && want > d.most {
		p = price{effect: EffectRestart, why: "it was started with " + memoryText(d.most)}
	}
	if have != want || d.unknown("memory") {
		d.element("memory", memoryText(have), memoryText(want), p)
	}
}

func (d *diff) shares() {
	open := func(s spec.Share) bool { return d.unknown(s.Attribute()) }
	if slices.EqualFunc(d.have.Shares, d.want.Shares, spec.Share.Equal) && !slices.ContainsFunc(d.want.Shares, open) {
		return
	}
	have, want := map[string]spec.Share{}, map[string]spec.Share{}
	for _, s := range d.have.Shares {
		have[s.Guest] = s
	}
	for _, s := range d.want.Shares {
		want[s.Guest] = s
	}
	for _, guest := range union(have, want) {
		h, there := have[guest]
		w, wanted := want[guest]
		attribute := spec.Share{Guest: guest}.Attribute()
		switch {
		case !wanted:
			d.element(attribute, shareText(h), "", d.dearestOf("Shares."))
		case !there:
			d.element(attribute, "", shareText(w), d.dearestOf("Shares."))
		default:
			d.element(attribute, shareText(h), shareText(w), d.differing(map[string]bool{
				"Shares.Host":     h.Host != w.Host || slices.Contains(d.want.Unknown, attribute),
				"Shares.ReadOnly": h.ReadOnly != w.ReadOnly,
				"Shares.Type":     h.Way() != w.Way(),
				"Shares.Protect":  !slices.Equal(h.Protect, w.Protect),
				"Shares.Project":  h.Project != w.Project,

				"Shares.AllowSensitive": h.AllowSensitive != w.AllowSensitive,
			}))
		}
	}
}

func (d *diff) mounts() {
	open := func(m spec.Mount) bool { return d.unknown(m.Attribute()) }
	if slices.Equal(d.have.Mounts, d.want.Mounts) && !slices.ContainsFunc(d.want.Mounts, open) {
		return
	}
	have, want := map[string]spec.Mount{}, map[string]spec.Mount{}
	for _, m := range d.have.Mounts {
		have[m.Attribute()] = m
	}
	for _, m := range d.want.Mounts {
		want[m.Attribute()] = m
	}
	for _, attribute := range union(have, want) {
		h, there := have[attribute]
		w, wanted := want[attribute]
		switch {
		case !wanted:
			d.element(attribute, mountText(h), "", d.dearestOf("Mounts."))
		case !there:
			d.element(attribute, "", mountText(w), d.dearestOf("Mounts."))
		default:
			d.element(attribute, mountText(h), mountText(w), d.differing(map[string]bool{
				"Mounts.Path":     h.Path != w.Path || slices.Contains(d.want.Unknown, attribute),
				"Mounts.Size":     h.Size != w.Size,
				"Mounts.ReadOnly": h.ReadOnly != w.ReadOnly,
			}))
		}
	}
}

func (d *diff) networks() {
	if slices.EqualFunc(d.have.Networks, d.want.Networks, spec.NIC.Equal) {
		return
	}
	have, want := map[string]spec.NIC{}, map[string]spec.NIC{}
	for _, n := range d.have.Networks {
		have[n.Attribute()] = n
	}
	for _, n := range d.want.Networks {
		want[n.Attribute()] = n
	}
	for _, attribute := range union(have, want) {
		h, there := have[attribute]
		w, wanted := want[attribute]
		switch {
		case !wanted:
			d.element(attribute, nicText(h), "", d.dearestOf("Networks."))
		case !there:
			d.element(attribute, "", nicText(w), d.dearestOf("Networks."))
		default:
			d.nic(attribute, h, w)
		}
	}
}

// nic compares a VM's place in a network, one change for each field.
func (d *diff) nic(attribute string, have, want spec.NIC) {
	for _, f := range []struct{ name, field, have, want string }{
		{"name", "Name", have.Name, want.Name},
		{"subnet", "Subnet", have.Subnet, want.Subnet},
		{"address", "Address", have.Address, want.Address},
		{"address", "Auto", chosenText(have), chosenText(want)},
		{"default", "Default", flagText(have.Default), flagText(want.Default)},
		{"aliases", "Aliases", wordsText(have.Aliases), wordsText(want.Aliases)},
		{"dns", "DNS", wordsText(have.DNS), wordsText(want.DNS)},
		{"egress", "Egress", EgressText(have.Egress), EgressText(want.Egress)},
		{"host_access", "HostAccess", flagText(have.HostAccess), flagText(want.HostAccess)},
	} {
		d.element(attribute+"."+f.name, f.have, f.want, d.cost("Networks."+f.field))
	}
}

func (d *diff) env() { d.texts("env", "Env", environment(d.have), environment(d.want)) }

// environment is a VM's env, with fingerprints in the place of secrets. A
// change's text never shows them, since secrets are sensitive.
func environment(vm *spec.VM) map[string]string {
	if len(vm.Secrets) == 0 {
		return vm.Env
	}
	all := make(map[string]string, len(vm.Env)+len(vm.Secrets))
	maps.Copy(all, vm.Env)
	for name, secret := range vm.Secrets {
		all[name] = "secret " + secret.Digest
	}
	return all
}

// texts compares two maps of texts.
func (d *diff) texts(attribute, field string, have, want map[string]string) {
	if d.unknown(attribute) {
		d.element(attribute, "", "", d.cost(field))
		return
	}
	if maps.Equal(have, want) && len(d.want.Unknown) == 0 {
		return
	}
	wanted := maps.Clone(want)
	for _, path := range d.want.Unknown {
		if key, ok := strings.CutPrefix(path, attribute+"."); ok {
			if wanted == nil {
				wanted = map[string]string{}
			}
			wanted[key] = ""
		}
	}
	for _, key := range union(have, wanted) {
		d.element(attribute+"."+key, valueText(have, key), valueText(wanted, key), d.cost(field))
	}
}

// valueText keeps an empty value apart from none.
func valueText(values map[string]string, key string) string {
	value, found := values[key]
	if !found {
		return ""
	}
	return strconv.Quote(value)
}

func (d *diff) ready(have, want *spec.Ready) {
	scalar(d, "ready.tcp", "Ready.TCP", have.TCP, want.TCP, numberText)
	scalar(d, "ready.http", "Ready.HTTP", have.HTTP, want.HTTP, quoted)
	list(d, "ready.exec", "Ready.Exec", have.Exec, want.Exec, wordsText)
	scalar(d, "ready.log", "Ready.Log", have.Log, want.Log, quoted)
	scalar(d, "ready.ssh", "Ready.SSH", have.SSH, want.SSH, flagText)
	scalar(d, "ready.timeout", "Ready.Timeout", have.Timeout, want.Timeout, durationText)
}

func (d *diff) seed(have, want *spec.Seed) {
	scalar(d, "seed.user", "Seed.User", have.User, want.User, quoted)
	list(d, "seed.authorized_keys", "Seed.AuthorizedKeys", have.AuthorizedKeys, want.AuthorizedKeys, wordsText)
	scalar(d, "seed.user_data", "Seed.UserData", have.UserData, want.UserData, longText)
	scalar(d, "seed.metadata", "Seed.Metadata", have.Metadata, want.Metadata, longText)
}

// health is told as one where it comes or goes, and else by what differs.
func (d *diff) health(have, want *spec.Health) {
	if (have.Interval == 0) != (want.Interval == 0) {
		d.element("health", healthText(*have), healthText(*want), d.cost("Health.Interval"))
		return
	}
	scalar(d, "health.tcp", "Health.TCP", have.TCP, want.TCP, numberText)
	scalar(d, "health.http", "Health.HTTP", have.HTTP, want.HTTP, quoted)
	list(d, "health.exec", "Health.Exec", have.Exec, want.Exec, wordsText)
	scalar(d, "health.interval", "Health.Interval", have.Interval, want.Interval, periodText)
	scalar(d, "health.timeout", "Health.Timeout", have.Timeout, want.Timeout, periodText)
	scalar(d, "health.start_period", "Health.StartPeriod", have.StartPeriod, want.StartPeriod, periodText)
	scalar(d, "health.retries", "Health.Retries", have.Retries, want.Retries, numberText)
}

// sensitivity records that an attribute became a secret, or ceased to be one,
// so that no later plan shows its old value.
func (d *diff) sensitivity() {
	if slices.Equal(d.have.Sensitive, d.want.Sensitive) {
		return
	}
	have, want := map[string]bool{}, map[string]bool{}
	for _, path := range d.have.Sensitive {
		have[path] = true
	}
	for _, path := range d.want.Sensitive {
		want[path] = true
	}
	for _, path := range union(have, want) {
		changed := slices.ContainsFunc(d.changes, func(c Change) bool { return c.Attribute == path })
		if have[path] != want[path] && !changed {
			d.changes = append(d.changes, Change{
				Attribute: path, Old: secrecy(have[path]), New: secrecy(want[path]),
				Effect: EffectNone, Origin: d.want.Origin(path),
			})
		}
	}
}

func secrecy(sensitive bool) string {
	if sensitive {
		return hidden
	}
	return "(not sensitive)"
}

// union is the keys of both, sorted.
func union[V any](a, b map[string]V) []string {
	if len(a)+len(b) == 0 {
		return nil
	}
	keys := make([]string, 0, len(a)+len(b))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
