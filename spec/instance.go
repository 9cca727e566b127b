package spec

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

const (
	defaultMemory  = 256 // MiB
	defaultTimeout = 2 * time.Minute
	loopback       = "127.0.0.1"
)

// instance evaluates one VM.
type instance struct {
	*evaluator
	repetition
	node   *node
	ctx    *hcl.EvalContext
	vm     VM
	failed bool
	// agentImage is that of the machines of a devenv's agents.
	agentImage Address
}

func (i *instance) evaluate() {
	b := i.node.block
	i.vm = VM{
		Address: i.address,
		Driver:  "auto",
		CPUs:    1,
		Memory:  defaultMemory,
		Running: true,
		Ready:   Ready{Timeout: defaultTimeout},
		Origins: i.node.emptyOrigins(),
	}
	i.origin("", b.at)
	i.devenvDefaults()
	i.name()
	i.image()
	i.driver()
	if n, state := i.whole(b, "cpus", "cpus", 1, 1024, 2); state != absent {
		i.vm.CPUs = n
	}
	i.memory()
	if v, state := i.get(b, "running", "running", cty.Bool); state != absent {
		i.vm.Running = state == present && v.True()
	}
	i.restart()
	i.period(b, "", "stop_grace_period", "1m", &i.vm.StopGracePeriod)
	i.task()
	i.cmdline()
	i.env()
	i.labels()
	i.firmware()
	i.blocks("seed", i.seed)
	i.blocks("ssh", i.login)
	i.blocks("port", i.port)
	i.blocks("share", i.share)
	i.blocks("mount", i.mount)
	i.networks()
	i.blocks("network", i.network)
	i.blocks("ready", i.ready)
	i.blocks("lifecycle", i.lifecycle)
	i.blocks("watch", i.watch)
	i.blocks("health", i.health)
	i.checkTask()
	i.emulated()
	i.checkSeed()
	i.devenv()
	i.sort()
}

func (i *instance) sort() {
	slices.SortFunc(i.vm.Ports, comparePorts)
	slices.SortFunc(i.vm.Shares, func(a, b Share) int { return strings.Compare(a.Guest, b.Guest) })
	slices.SortFunc(i.vm.Mounts, func(a, b Mount) int { return strings.Compare(string(a.Volume), string(b.Volume)) })
	slices.SortStableFunc(i.vm.Watch, compareWatches)
	slices.Sort(i.vm.Unknown)
	slices.Sort(i.vm.Sensitive)
}

// state says what reading an argument came to.
type state int

const (
	absent  state = iota // not written, or null: the default holds
	present              // a value
	later                // known after apply
	broken               // reported
)

// get reads an argument and notes where it was written, under path.
func (i *instance) get(b *block, name, path string, want cty.Type) (cty.Value, state) {
	v, state := i.raw(b, name, path)
	if state != present {
		return v, state
	}
	v, ok := i.convert(b.args[name], v, want, i.ctx)
	if !ok {
		i.failed = true
		return v, broken
	}
	return v, present
}

// raw reads an argument of any type.
func (i *instance) raw(b *block, name, path string) (cty.Value, state) {
	arg := b.args[name]
	if arg == nil {
		return cty.NilVal, absent
	}
	v, ok := i.value(arg, i.ctx)
	if !ok {
		i.failed = true
		return v, broken
	}
	if i.kept(arg, v) {
		i.failed = true
		return v, broken
	}
	v, hidden := reveal(v)
	if v.IsNull() {
		return v, absent
	}
	if hidden {
		i.note(&i.vm.Sensitive, path)
	}
	i.origin(path, arg.at)
	if !v.IsWhollyKnown() {
		if i.node.tainted {
			return v, broken
		}
		i.note(&i.vm.Unknown, path)
		return v, later
	}
	return v, present
}

func (i *instance) note(list *[]string, path string) {
	if path != "" && !slices.Contains(*list, path) {
		*list = append(*list, path)
	}
}

// origin notes where a path was written, the first time.
func (i *instance) origin(path string, at hcl.Range) {
	if _, ok := i.vm.Origins[path]; !ok {
		i.vm.Origins[path] = position(at)
	}
}

// known reads an argument that is part of what the VM is, and so cannot wait
// for apply.
func (i *instance) known(b *block, name, path string, want cty.Type) (cty.Value, bool) {
	v, state := i.get(b, name, path, want)
	if state == later {
		i.vm.Unknown = slices.DeleteFunc(i.vm.Unknown, func(p string) bool { return p == path && p != "" })
		i.failed = true
		i.notKnown(i.node, b.args[name], i.ctx)
	}
	return v, state == present
}

func (i *instance) text(b *block, name, path string) (string, state) {
	v, state := i.get(b, name, path, cty.String)
	if state != present {
		return "", state
	}
	return v.AsString(), present
}

// whole reads a whole number between two bounds.
func (i *instance) whole(b *block, name, path string, least, most, example int) (int, state) {
	v, state := i.get(b, name, path, cty.Number)
	if state != present {
		return 0, state
	}
	n, ok := wholeNumber(v)
	if !ok || n < least || n > most {
		i.wrong(b, name, "Invalid "+name, "%q is a whole number from %d to %d. Write, for example: %s = %d", name, least, most, name, example)
		return 0, broken
	}
	return n, present
}

// wrong reports a bad value.
func (i *instance) wrong(b *block, name, summary, detail string, args ...any) {
	i.failed = true
	i.mistake(b.args[name], i.ctx, summary, detail, args...)
}

func (i *instance) name() {
	b := i.node.block
	i.vm.Name = i.label(i.node, i.suffix)
	if v, ok := i.known(b, "hostname", "name", cty.String); ok {
		i.vm.Name = v.AsString()
		if !validHostLabel(i.vm.Name) {
			i.wrong(b, "hostname", "Invalid hostname", "A host name is at most 63 lower case letters, digits and inner hyphens. Write: hostname = %q", offer(hostLabel(i.vm.Name), "web"))
			return
		}
	}
	if len(i.vm.Name) > 63 {
		i.failed = true
		i.fail(b.at, "Name too long", "%s would get the host name %q, and host names end at 63 characters. Give it a shorter one: hostname = ...", i.address, i.vm.Name)
		return
	}
	i.claims.addName(i.vm.Name, i.address, i.hostnameRange(b))
}

func (i *instance) hostnameRange(b *block) hcl.Range {
	if arg := b.args["hostname"]; arg != nil {
		return arg.at
	}
	return b.at
}

func (i *instance) image() {
	b := i.node.block
	if b.schema == devenvSchema {
		i.devenvImage()
		return
	}
	v, ok := i.known(b, "image", "image", cty.DynamicPseudoType)
	if !ok {
		if arg := b.args["image"]; arg != nil && !i.failed && !i.node.tainted {
			i.wrong(b, "image", "Missing image", "The image is null. Write: %s", vmSchema.required["image"])
		}
		return
	}
	a, detail := i.imageOf(v, b.args["image"].at)
	if i.vm.Image = a; detail != "" {
		i.failed = true
		i.fail(b.args["image"].expr.Range(), "Invalid image", "%s", detail)
	}
}

func (i *instance) driver() {
	b := i.node.block
	v, ok := i.known(b, "driver", "driver", cty.String)
	if !ok {
		return
	}
	i.vm.Driver = v.AsString()
	names := append([]string{"auto"}, i.in.Drivers...)
	if !slices.Contains(names, i.vm.Driver) {
		i.wrong(b, "driver", "Unknown driver", "There is no driver %q.%s lkup has %s.", i.vm.Driver, didYouMean("", i.vm.Driver, names), listed(names))
	}
}

func (i *instance) memory() {
	b := i.node.block
	v, state := i.raw(b, "memory", "memory")
	if state != absent {
		i.vm.Memory = 0
	}
	if state != present {
		return
	}
	if n, ok := wholeNumber(v); ok {
		i.wrong(b, "memory", "Size without a unit", "Memory is a text with a unit. Write: memory = %q", strconv.Itoa(n)+"MiB")
		return
	}
	if v.Type() != cty.String {
		i.wrong(b, "memory", "Wrong type", "Memory is a text with a unit. Write, for example: memory = \"512MiB\"")
		return
	}
	mib, problem := ParseMemory(v.AsString())
	if problem != "" {
		i.wrong(b, "memory", "Invalid size", "%s", problem)
	}
	i.vm.Memory = mib
}

func (i *instance) cmdline() {
	b := i.node.block
	text, _ := i.text(b, "cmdline", "cmdline")
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		i.wrong(b, "cmdline", "Invalid cmdline", "A kernel command line is one line of text. Write the words with single spaces between them.")
	}
	i.vm.Cmdline = text
}
