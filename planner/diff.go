package planner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// diff lists what differs between a VM as last applied and as wanted, in a
// fixed order.
func diff(have Instance, want spec.VM, driver string, digest sources.Digest) []Change {
	d := differ{want: want}
	old := have.Applied
	if digest != have.Digest {
		d.changed(attrImage, string(attrImage), digestText(have.Digest), digestText(digest), digest == "")
	} else if old.Image != want.Image {
		d.changes = append(d.changes, Change{Attribute: "image", Old: string(old.Image), New: string(want.Image),
			Effect: EffectNone, Origin: want.Origin("image")})
	}
	d.compare(attrName, old.Name, want.Name)
	if driver != have.Driver {
		d.changed(attrDriver, string(attrDriver), have.Driver, driver, false)
	} else if old.Driver != want.Driver {
		d.changes = append(d.changes, Change{Attribute: "driver", Old: old.Driver, New: want.Driver,
			Effect: EffectNone, Origin: want.Origin("driver")})
	}
	d.compare(attrCPUs, strconv.Itoa(old.CPUs), strconv.Itoa(want.CPUs))
	d.compare(attrMemory, memoryText(old.Memory), memoryText(want.Memory))
	d.compareEach(attrPort, portTexts(old.Ports, nil), portTexts(want.Ports, old.Ports))
	d.compareEach(attrShare, shareTexts(old.Shares), shareTexts(want.Shares))
	d.compareEach(attrEnv, envTexts(old.Env), envTexts(want.Env))
	d.compare(attrCmdline, old.Cmdline, want.Cmdline)
	d.compare(attrDependsOn, addressesText(old.DependsOn), addressesText(want.DependsOn))
	d.compare(attrReady, readyText(old.Ready), readyText(want.Ready))
	d.compare(attrRunning, strconv.FormatBool(old.Running), strconv.FormatBool(want.Running))
	return d.changes
}

// differ collects changes.
type differ struct {
	want    spec.VM
	changes []Change
}

func (d *differ) compare(a attribute, old, now string) {
	path := string(a)
	unknown := slices.Contains(d.want.Unknown, path)
	if old != now || unknown {
		d.changed(a, path, old, now, unknown)
	}
}

// compareEach compares keyed values; the keys are attribute paths.
func (d *differ) compareEach(a attribute, old, now map[string]string) {
	for _, path := range keysOf(old, now, d.unknownOf(a)) {
		unknown := slices.Contains(d.want.Unknown, path)
		was, had := old[path]
		is, has := now[path]
		if was != is || had != has || unknown {
			d.changed(a, path, was, is, unknown)
		}
	}
}

// unknownOf lists the unknown paths that belong to an attribute.
func (d *differ) unknownOf(a attribute) map[string]string {
	paths := map[string]string{}
	for _, path := range d.want.Unknown {
		if strings.HasPrefix(path, string(a)+".") || strings.HasPrefix(path, string(a)+"[") {
			paths[path] = ""
		}
	}
	return paths
}

func (d *differ) changed(a attribute, path, old, now string, unknown bool) {
	if unknown {
		now = ""
	}
	change := Change{Attribute: path, Old: old, New: now, Unknown: unknown, Effect: effects[a]}
	if now != "" || unknown {
		change.Origin = d.want.Origin(path)
	}
	d.changes = append(d.changes, change)
}

func keysOf(maps ...map[string]string) []string {
	var keys []string
	for _, m := range maps {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func digestText(d sources.Digest) string {
	if !d.Valid() {
		return ""
	}
	return "sha256:" + d.Short()
}

func memoryText(mib int) string {
	if mib != 0 && mib%1024 == 0 {
		return fmt.Sprintf("%dGiB", mib/1024)
	}
	return fmt.Sprintf("%dMiB", mib)
}

// PortAttribute is a port's attribute path: port[80], port[53/udp].
func PortAttribute(p spec.Port) string {
	if p.Protocol == "udp" {
		return fmt.Sprintf("port[%d/udp]", p.Guest)
	}
	return fmt.Sprintf("port[%d]", p.Guest)
}

// portTexts shows ports. An auto port that nobody has chosen yet keeps the one
// it had, and is "auto" if it had none.
func portTexts(ports, had []spec.Port) map[string]string {
	texts := make(map[string]string, len(ports))
	for _, p := range ports {
		texts[PortAttribute(p)] = portText(keep(p, had))
	}
	return texts
}

// keep gives an auto port without a choice the choice made before.
func keep(p spec.Port, had []spec.Port) spec.Port {
	if !p.Auto || p.Host != 0 {
		return p
	}
	for _, old := range had {
		if old.Auto && old.Guest == p.Guest && old.Protocol == p.Protocol {
			p.Host = old.Host
		}
	}
	return p
}

func keepAll(ports, had []spec.Port) []spec.Port {
	var kept []spec.Port
	for _, p := range ports {
		kept = append(kept, keep(p, had))
	}
	return kept
}

func portText(p spec.Port) string {
	switch {
	case p.Host == 0:
		return p.Address + ":auto"
	case p.Auto:
		return fmt.Sprintf("%s:%d (auto)", p.Address, p.Host)
	}
	return fmt.Sprintf("%s:%d", p.Address, p.Host)
}

func shareTexts(shares []spec.Share) map[string]string {
	texts := make(map[string]string, len(shares))
	for _, s := range shares {
		text := s.Host
		if s.ReadOnly {
			text += " (read-only)"
		}
		texts["share["+s.Guest+"]"] = text
	}
	return texts
}

func envTexts(env map[string]string) map[string]string {
	texts := make(map[string]string, len(env))
	for name, value := range env {
		texts["env."+name] = strconv.Quote(value)
	}
	return texts
}

func addressesText(list []spec.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = string(a)
	}
	return strings.Join(texts, ", ")
}

func readyText(r spec.Ready) string {
	var parts []string
	if r.TCP != 0 {
		parts = append(parts, fmt.Sprintf("tcp %d", r.TCP))
	}
	if r.HTTP != "" {
		parts = append(parts, "http "+r.HTTP)
	}
	if len(r.Exec) > 0 {
		parts = append(parts, fmt.Sprintf("exec %q", r.Exec))
	}
	if r.Log != "" {
		parts = append(parts, fmt.Sprintf("log %q", r.Log))
	}
	if r.SSH {
		parts = append(parts, "ssh")
	}
	return strings.Join(append(parts, "within "+r.Timeout.String()), ", ")
}
