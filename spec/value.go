package spec

import (
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// vmType is what an expression sees of one VM.
var vmType = cty.Object(map[string]cty.Type{
	"name":     cty.String,
	"hostname": cty.String,
	"address":  cty.String,
	"port":     cty.Map(cty.Number),
	"cpus":     cty.Number,
	"memory":   cty.String,
	"env":      cty.Map(cty.String),
})

// vmValue is what an expression sees of a vm block: a VM, or a map or list of
// them.
func (e *evaluator) vmValue(n *node) cty.Value {
	switch n.repeats() {
	case "for_each":
		elements := make(map[string]cty.Value, len(n.instances))
		for k, a := range n.instances {
			elements[n.keys[k]] = readable(e.stack.VMs[a])
		}
		if len(elements) == 0 {
			return cty.MapValEmpty(vmType)
		}
		return cty.MapVal(elements)
	case "count":
		var elements []cty.Value
		for _, a := range n.instances {
			elements = append(elements, readable(e.stack.VMs[a]))
		}
		if len(elements) == 0 {
			return cty.ListValEmpty(vmType)
		}
		return cty.ListVal(elements)
	}
	return readable(e.stack.VMs[n.address()])
}

// readable is what an expression sees of vm.
func readable(vm VM) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"name":     readableAs(vm, "name", cty.StringVal(vm.Name)),
		"hostname": readableAs(vm, "name", cty.StringVal(vm.Name)),
		"address":  cty.StringVal(loopback),
		"port":     readablePorts(vm),
		"cpus":     readableAs(vm, "cpus", cty.NumberIntVal(int64(vm.CPUs))),
		"memory":   readableAs(vm, "memory", cty.StringVal(strconv.Itoa(vm.Memory)+"MiB")),
		"env":      readableEnv(vm),
	})
}

// readableAs hides what is not known yet, and marks what is secret.
func readableAs(vm VM, path string, v cty.Value) cty.Value {
	if slices.Contains(vm.Unknown, path) {
		v = cty.UnknownVal(v.Type())
	}
	if slices.Contains(vm.Sensitive, path) {
		v = v.Mark(sensitive)
	}
	return v
}

// readablePorts maps guest ports to host ports; where a number is forwarded
// for both protocols, it is the tcp one's.
func readablePorts(vm VM) cty.Value {
	ports := map[string]cty.Value{}
	for _, p := range vm.Ports {
		key := strconv.Itoa(p.Guest)
		if _, ok := ports[key]; ok && p.Protocol != "tcp" {
			continue
		}
		host := cty.NumberIntVal(int64(p.Host))
		if p.Host == 0 {
			host = cty.UnknownVal(cty.Number).RefineNotNull()
		}
		ports[key] = host
	}
	if len(ports) == 0 {
		return cty.MapValEmpty(cty.Number)
	}
	return cty.MapVal(ports)
}

func readableEnv(vm VM) cty.Value {
	if slices.Contains(vm.Unknown, "env") {
		return cty.UnknownVal(cty.Map(cty.String))
	}
	env := map[string]cty.Value{}
	for name, value := range vm.Env {
		env[name] = readableAs(vm, "env."+name, cty.StringVal(value))
	}
	for name, s := range vm.Secrets {
		env[name] = cty.StringVal(s.Value).Mark(sensitive).Mark(ephemeral)
	}
	for _, path := range vm.Unknown {
		if name, ok := strings.CutPrefix(path, "env."); ok {
			env[name] = readableAs(vm, path, cty.UnknownVal(cty.String))
		}
	}
	if len(env) == 0 {
		return cty.MapValEmpty(cty.String)
	}
	return cty.MapVal(env)
}
