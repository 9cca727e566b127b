package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/lkup/lkup/spec"
)

// ConfigJSON prints a stack for programs, without what is sensitive.
func ConfigJSON(w io.Writer, s *spec.Stack) error {
	vms := map[spec.Address]*spec.VM{}
	for a, vm := range s.VMs {
		vms[a] = redacted(&vm, vm.Sensitive)
	}
	type output struct {
		Value     any  `json:"value"`
		Known     bool `json:"known"`
		Sensitive bool `json:"sensitive"`
	}
	outputs := map[string]output{}
	for name, o := range s.Outputs {
		if o.Sensitive {
			o.Value = hidden
		}
		outputs[name] = output{o.Value, o.Known, o.Sensitive}
	}
	return writeJSON(w, struct {
		FormatVersion string                        `json:"format_version"`
		Stack         string                        `json:"stack"`
		VMs           map[spec.Address]*spec.VM     `json:"vms"`
		Volumes       map[spec.Address]spec.Volume  `json:"volumes"`
		Devenvs       map[spec.Address]spec.Devenv  `json:"devenvs,omitempty"`
		Networks      map[spec.Address]spec.Network `json:"networks"`
		Outputs       map[string]output             `json:"outputs"`
		Profiles      []string                      `json:"profiles"`
	}{FormatVersion, s.Name, vms, s.Volumes, s.Devenvs, s.Networks, outputs, list(s.Profiles)})
}

// Config prints a stack as one stack file: nothing is left to evaluate,
// defaults are filled in, and each instance is a block of its own. What is
// sensitive reads "(sensitive)"; what is known after apply is left out.
func Config(w io.Writer, s *spec.Stack) error {
	file := hclwrite.NewEmptyFile()
	c := config{stack: s, body: file.Body()}
	c.body.AppendNewBlock("stack", []string{s.Name})
	for _, a := range addresses(s.Images) {
		c.image(s.Images[a])
	}
	for _, a := range addresses(s.Volumes) {
		c.volume(s.Volumes[a])
	}
	for _, a := range addresses(s.Networks) {
		c.network(s.Networks[a])
	}
	for _, a := range addresses(s.VMs) {
		c.vm(s.VMs[a])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		c.output(s.Outputs[name])
	}
	_, err := w.Write(hclwrite.Format(file.Bytes()))
	return err
}

type config struct {
	stack *spec.Stack
	body  *hclwrite.Body
}

// block begins a block, with its address above it where its name is another.
func (c *config) block(kind string, a spec.Address) *hclwrite.Body {
	c.body.AppendNewline()
	if string(a) != kind+"."+label(a) {
		c.body.AppendUnstructuredTokens(hclwrite.Tokens{{Type: 'C', Bytes: []byte("# " + Clean(string(a)) + "\n")}})
	}
	return c.body.AppendNewBlock(kind, []string{label(a)}).Body()
}

// label is an address as a name: web-blue for vm.web["blue"].
func label(a spec.Address) string {
	_, name, _ := strings.Cut(string(a), ".")
	var b strings.Builder
	for _, r := range strings.NewReplacer(".vm.", "-", ".volume.", "-", ".network.", "-", ".image.", "-", ".template.", "-", ".module.", "-", `"]`, "", `["`, "-").Replace(name) {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			b.WriteRune(r)
		} else if r != ']' {
			b.WriteByte('-')
		}
	}
	return b.String()
}

func (c *config) image(img spec.Image) {
	if a := string(img.Address); !strings.Contains(a, "image.") && !strings.Contains(a, "template.") {
		return // short for a block of its own
	}
	if img.Template == nil {
		b := c.block("image", img.Address)
		b.SetAttributeValue("source", refs(img))
		if img.SHA256 != "" {
			b.SetAttributeValue("sha256", cty.StringVal(img.SHA256))
		}
		arch(b, img)
		return
	}
	b := c.block("template", img.Address)
	if img.Template.File != "" {
		b.SetAttributeValue("file", cty.StringVal(img.Template.File))
	} else if img.Template.User != "" {
		b.SetAttributeValue("name", cty.StringVal(img.Template.User))
	} else {
		b.SetAttributeValue("builtin", cty.StringVal(img.Template.Builtin))
	}
	if len(img.Template.Vars) > 0 {
		b.SetAttributeValue("vars", texts(img.Template.Vars))
	}
	arch(b, img)
}

func arch(b *hclwrite.Body, img spec.Image) {
	if img.Arch != "" {
		b.SetAttributeValue("arch", cty.StringVal(img.Arch))
	}
}

// refs is one ref, or a list.
func refs(img spec.Image) cty.Value {
	if len(img.Fallbacks) == 0 {
		return cty.StringVal(img.Source)
	}
	all := []cty.Value{cty.StringVal(img.Source)}
	for _, ref := range img.Fallbacks {
		all = append(all, cty.StringVal(ref))
	}
	return cty.TupleVal(all)
}

func texts(all map[string]string) cty.Value {
	values := map[string]cty.Value{}
	for name, text := range all {
		values[name] = cty.StringVal(text)
	}
	return cty.ObjectVal(values)
}

func (c *config) volume(v spec.Volume) {
	b := c.block("volume", v.Address)
	b.SetAttributeValue("size", cty.StringVal(memory(v.Size)))
	b.SetAttributeValue("format", cty.StringVal(v.Format))
}

func (c *config) network(n spec.Network) {
	b := c.block("network", n.Address)
	b.SetAttributeValue("subnet", cty.StringVal(n.Subnet))
	if len(n.DNS) > 0 {
		b.SetAttributeValue("dns", words(n.DNS))
	}
	switch {
	case len(n.Egress) == 0:
		b.SetAttributeValue("egress", cty.StringVal("none"))
	case slices.Equal(n.Egress, []string{spec.EgressAll}):
		b.SetAttributeValue("egress", cty.StringVal(spec.EgressAll))
	default:
		b.SetAttributeValue("egress", words(n.Egress))
	}
	b.SetAttributeValue("host_access", cty.BoolVal(n.HostAccess))
}

// nics writes a VM's places in networks, the way out first.
func (c *config) nics(b *hclwrite.Body, v spec.VM) {
	for _, first := range []bool{true, false} {
		for _, n := range v.Networks {
			if n.Default != first {
				continue
			}
			nic := b.AppendNewBlock("network", nil).Body()
			nic.SetAttributeTraversal("network", reference("network", n.Network))
			nic.SetAttributeValue("address", cty.StringVal(n.Address))
			if len(n.Aliases) > 0 {
				nic.SetAttributeValue("aliases", words(n.Aliases))
			}
		}
	}
}

// reference is what another block calls a block.
func reference(kind string, a spec.Address) hcl.Traversal {
	return hcl.Traversal{hcl.TraverseRoot{Name: kind}, hcl.TraverseAttr{Name: label(a)}}
}

func (c *config) vm(v spec.VM) {
	b := c.block("vm", v.Address)
	set := func(body *hclwrite.Body, name, path string, value cty.Value) {
		switch {
		case slices.Contains(v.Unknown, path):
		case slices.Contains(v.Sensitive, path):
			body.SetAttributeValue(name, cty.StringVal(hidden))
		default:
			body.SetAttributeValue(name, value)
		}
	}
	c.setImage(b, v.Image)
	set(b, "hostname", "name", cty.StringVal(v.Name))
	set(b, "driver", "driver", cty.StringVal(v.Driver))
	set(b, "cpus", "cpus", cty.NumberIntVal(int64(v.CPUs)))
	set(b, "memory", "memory", cty.StringVal(memory(v.Memory)))
	set(b, "running", "running", cty.BoolVal(v.Running))
	set(b, "restart", "restart", cty.StringVal(v.Restart.String()))
	if v.StopGracePeriod != 0 {
		set(b, "stop_grace_period", "stop_grace_period", cty.StringVal(shortDuration(v.StopGracePeriod)))
	}
	if v.Kind != "" {
		set(b, "kind", "kind", cty.StringVal(v.Kind))
	}
	if len(v.Command) > 0 {
		set(b, "command", "command", words(v.Command))
	}
	if v.Cmdline != "" {
		set(b, "cmdline", "cmdline", cty.StringVal(v.Cmdline))
	}
	if env := shownEnv(v); len(env) > 0 {
		b.SetAttributeValue("env", texts(env))
	}
	if len(v.Labels) > 0 {
		b.SetAttributeValue("labels", texts(v.Labels))
	}
	c.dependsOn(b, v)
	c.settings(b, v, set)
	for _, p := range v.Ports {
		port := b.AppendNewBlock("port", nil).Body()
		port.SetAttributeValue("guest", cty.NumberIntVal(int64(p.Guest)))
		if p.Auto {
			port.SetAttributeValue("host", cty.StringVal("auto"))
		} else {
			set(port, "host", p.Attribute(), cty.NumberIntVal(int64(p.Host)))
		}
		port.SetAttributeValue("address", cty.StringVal(p.Address))
		port.SetAttributeValue("protocol", cty.StringVal(p.Protocol))
	}
	for _, s := range v.Shares {
		share := b.AppendNewBlock("share", nil).Body()
		set(share, "host", s.Attribute(), cty.StringVal(s.Host))
		share.SetAttributeValue("guest", cty.StringVal(s.Guest))
		if s.Way() != spec.Share9P {
			share.SetAttributeValue("type", cty.StringVal(s.Type))
		}
		share.SetAttributeValue("read_only", cty.BoolVal(s.ReadOnly))
		if s.Project {
			share.SetAttributeValue("project", cty.True)
		}
		if len(s.Protect) > 0 {
			share.SetAttributeValue("protect", words(s.Protect))
		}
		if s.AllowSensitive {
			share.SetAttributeValue("allow_sensitive", cty.True)
		}
	}
	for _, m := range v.Mounts {
		mount := b.AppendNewBlock("mount", nil).Body()
		mount.SetAttributeTraversal("volume", reference("volume", m.Volume))
		if m.Path != "" {
			mount.SetAttributeValue("path", cty.StringVal(m.Path))
		}
		mount.SetAttributeValue("read_only", cty.BoolVal(m.ReadOnly))
	}
	c.nics(b, v)
	c.ready(b, v, set)
	c.health(b, v, set)
	for _, w := range v.Watch {
		watch := b.AppendNewBlock("watch", nil).Body()
		set(watch, "paths", "watch", words(w.Paths))
		if len(w.Ignore) > 0 {
			set(watch, "ignore", "watch", words(w.Ignore))
		}
		set(watch, "action", "watch", cty.StringVal(w.Action))
		if w.Target != "" {
			set(watch, "target", "watch", cty.StringVal(w.Target))
		}
		if len(w.Command) > 0 {
			set(watch, "command", "watch", words(w.Command))
		}
	}
	if v.Lifecycle.PreventDestroy {
		b.AppendNewBlock("lifecycle", nil).Body().SetAttributeValue("prevent_destroy", cty.True)
	}
}

// words are a list of texts, of which there is one at least.
func words(all []string) cty.Value {
	values := make([]cty.Value, len(all))
	for i, word := range all {
		values[i] = cty.StringVal(word)
	}
	return cty.ListVal(values)
}

// shownEnv is what may be shown of an environment.
func shownEnv(v spec.VM) map[string]string {
	env := map[string]string{}
	maps.Copy(env, v.Env)
	for name := range v.Secrets {
		env[name] = hidden
	}
	for _, path := range v.Unknown {
		if name, found := strings.CutPrefix(path, "env."); found && slices.Contains(v.Sensitive, path) {
			env[name] = hidden
		}
	}
	for name := range env {
		if slices.Contains(v.Sensitive, "env."+name) {
			env[name] = hidden
		}
	}
	return env
}

func (c *config) setImage(b *hclwrite.Body, a spec.Address) {
	kind := "image"
	if c.stack.Images[a].Template != nil {
		kind = "template"
	}
	if !strings.Contains(string(a), "image.") && !strings.Contains(string(a), "template.") {
		b.SetAttributeValue("image", cty.StringVal(string(a)))
		return
	}
	b.SetAttributeTraversal("image", reference(kind, a))
}

func (c *config) dependsOn(b *hclwrite.Body, v spec.VM) {
	if len(v.DependsOn) == 0 {
		return
	}
	var names []string
	for _, dep := range v.DependsOn {
		name := "vm." + label(dep)
		if len(v.Conditions) > 0 {
			name = fmt.Sprintf("%s = %q", label(dep), cmp.Or(v.Conditions[dep], spec.ConditionReady))
		}
		names = append(names, name)
	}
	text := []byte("[" + strings.Join(names, ", ") + "]")
	if len(v.Conditions) > 0 {
		text = []byte("{ " + strings.Join(names, ", ") + " }")
	}
	b.SetAttributeRaw("depends_on", hclwrite.Tokens{{Type: 'I', Bytes: text}})
}

// settings are what an image that is not lkup's is told, and how to get in.
func (c *config) settings(b *hclwrite.Body, v spec.VM, set func(*hclwrite.Body, string, string, cty.Value)) {
	if v.Firmware != "" {
		set(b, "firmware", "firmware", cty.StringVal(v.Firmware))
	}
	if !v.Seed.IsZero() {
		s := b.AppendNewBlock("seed", nil).Body()
		for _, a := range []struct{ name, value string }{{"user", v.Seed.User}, {"user_data", v.Seed.UserData}, {"metadata", v.Seed.Metadata}} {
			if a.value != "" {
				set(s, a.name, "seed."+a.name, cty.StringVal(a.value))
			}
		}
		if len(v.Seed.AuthorizedKeys) > 0 {
			set(s, "authorized_keys", "seed.authorized_keys", words(v.Seed.AuthorizedKeys))
		}
	}
	if v.SSH != (spec.Login{}) {
		l := b.AppendNewBlock("ssh", nil).Body()
		set(l, "user", "ssh.user", cty.StringVal(v.SSH.User))
		set(l, "private_key", "ssh.private_key", cty.StringVal(v.SSH.PrivateKey))
		set(l, "host_key", "ssh.host_key", cty.StringVal(v.SSH.HostKey))
	}
}

func (c *config) ready(b *hclwrite.Body, v spec.VM, set func(*hclwrite.Body, string, string, cty.Value)) {
	r := b.AppendNewBlock("ready", nil).Body()
	if v.Ready.TCP != 0 {
		set(r, "tcp", "ready.tcp", cty.NumberIntVal(int64(v.Ready.TCP)))
	}
	if v.Ready.HTTP != "" {
		set(r, "http", "ready.http", cty.StringVal(v.Ready.HTTP))
	}
	if len(v.Ready.Exec) > 0 {
		set(r, "exec", "ready.exec", words(v.Ready.Exec))
	}
	if v.Ready.Log != "" {
		set(r, "log", "ready.log", cty.StringVal(v.Ready.Log))
	}
	if v.Ready.SSH {
		set(r, "ssh", "ready.ssh", cty.True)
	}
	set(r, "timeout", "ready.timeout", cty.StringVal(shortDuration(v.Ready.Timeout)))
}

func (c *config) health(b *hclwrite.Body, v spec.VM, set func(*hclwrite.Body, string, string, cty.Value)) {
	if v.Health.Interval == 0 {
		return
	}
	h := b.AppendNewBlock("health", nil).Body()
	if v.Health.TCP != 0 {
		set(h, "tcp", "health.tcp", cty.NumberIntVal(int64(v.Health.TCP)))
	}
	if v.Health.HTTP != "" {
		set(h, "http", "health.http", cty.StringVal(v.Health.HTTP))
	}
	if len(v.Health.Exec) > 0 {
		set(h, "exec", "health.exec", words(v.Health.Exec))
	}
	set(h, "interval", "health.interval", cty.StringVal(shortDuration(v.Health.Interval)))
	set(h, "timeout", "health.timeout", cty.StringVal(shortDuration(v.Health.Timeout)))
	if v.Health.StartPeriod != 0 {
		set(h, "start_period", "health.start_period", cty.StringVal(shortDuration(v.Health.StartPeriod)))
	}
	set(h, "retries", "health.retries", cty.NumberIntVal(int64(v.Health.Retries)))
}

// shortDuration is a duration without zeros: 2m, not 2m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func (c *config) output(o spec.Output) {
	if !o.Known {
		return
	}
	b := c.block("output", spec.Address("output."+o.Name))
	if o.Description != "" {
		b.SetAttributeValue("description", cty.StringVal(o.Description))
	}
	if o.Sensitive {
		b.SetAttributeValue("sensitive", cty.True)
		b.SetAttributeValue("value", cty.StringVal(hidden))
		return
	}
	b.SetAttributeValue("value", valueOf(o.Value))
}

// valueOf is ordinary data as a value of the language.
func valueOf(v any) cty.Value {
	switch v := v.(type) {
	case string:
		return cty.StringVal(v)
	case bool:
		return cty.BoolVal(v)
	case float64:
		return cty.NumberFloatVal(v)
	case []any:
		var all []cty.Value
		for _, element := range v {
			all = append(all, valueOf(element))
		}
		return cty.TupleVal(all)
	case map[string]any:
		all := map[string]cty.Value{}
		for key, element := range v {
			all[key] = valueOf(element)
		}
		return cty.ObjectVal(all)
	case nil:
		return cty.NullVal(cty.DynamicPseudoType)
	default:
		panic(fmt.Sprintf("view: an output cannot be a %T", v))
	}
}
