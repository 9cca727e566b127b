package spec

import (
	"maps"
	"slices"
	"strings"
)

// Agent is a program that works on the project by itself.
type Agent struct {
	Name    string            `json:"name"`
	Install string            `json:"install,omitempty"` // as ParsePackage reads it; none: it is in the image
	Command []string          `json:"command,omitempty"` // none: the program of that name, or the package's only one
	Args    []string          `json:"args,omitempty"`
	Auth    []string          `json:"auth,omitempty"`
	Egress  []string          `json:"egress,omitempty"` // entries as in Egress; none: nothing
	Model   string            `json:"model,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Budget  string            `json:"budget,omitempty"`
	Origin  Pos               `json:"-"`
}

// AgentPrefix is where a guest has the program that is installed for an agent.
const AgentPrefix = "/opt/agent"

// agent reads an agent block. What is installed for one lies on a volume of
// size MiB.
func (i *instance) agent(b *block, earlier []Agent, size int) Agent {
	a := Agent{
		Name: b.name, Command: i.command(b, "command", `["my-agent"]`), Args: i.plainWords(b, "args"),
		Auth: i.plainWords(b, "auth"), Egress: i.plainWords(b, "egress"), Origin: position(b.at),
	}
	if slices.ContainsFunc(earlier, func(o Agent) bool { return o.Name == a.Name }) {
		i.failed = true
		i.fail(b.at, "Duplicate agent", "%s has an agent %q already. Give one of them another name.", i.address, a.Name)
	}
	for _, entry := range a.Egress {
		if _, problem := ParseEgress(entry); problem != "" {
			i.wrong(b, "egress", "Invalid egress", "%s", problem)
		}
	}
	a.Model = i.plainText(b, "model", `model = "NAME"`)
	a.Budget = i.plainText(b, "budget", `budget = "500 requests"`)
	if _, problem := ParseBudget(a.Budget); a.Budget != "" && problem != "" {
		i.wrong(b, "budget", "Invalid budget", "%s", problem)
	}
	a.Env = i.plainEnv(b)
	i.agentInstall(b, &a, size)
	return a
}

// agentInstall reads what is installed for an agent, and has a volume for it.
func (i *instance) agentInstall(b *block, a *Agent, size int) {
	if a.Install = i.plainText(b, "install", `install = "npm:NAME@1.2.3"`); a.Install == "" {
		return
	}
	if _, problem := ParsePackage(a.Install); problem != "" {
		i.wrong(b, "install", "Invalid package", "%s", problem)
		return
	}
	v := Volume{Address: agentVolume(i.address, a.Name), Name: hostLabel(i.node.name + "-agent-" + a.Name), Size: size, Format: "raw", Origin: position(b.args["install"].at)}
	if _, taken := i.stack.Volumes[v.Address]; taken {
		i.wrong(b, "install", "Duplicate cache", "%s has a cache of nearly that name. Give the agent another name.", i.address)
		return
	}
	i.stack.Volumes[v.Address] = v
}

// agentVolume is the address of the volume that has what is installed for an
// agent of a devenv.
func agentVolume(devenv Address, agent string) Address {
	return devenv + ".volume.agent-" + Address(offer(identifier(agent), "agent"))
}

// AgentVM is the address of the machine that an agent of a devenv works in.
func AgentVM(devenv Address, agent string) Address {
	_, name, _ := strings.Cut(string(devenv), ".")
	return Address("vm." + name + "-" + agent)
}

// agentVMs declares a machine for each agent of a devenv: one like the devenv's,
// without a way out, and with nothing of the host but the project. What the
// devenv is given in secret is not for agents.
func (e *evaluator) agentVMs(n *node, like VM, image Address) {
	for _, a := range e.stack.Devenvs[like.Address].Agents {
		vm := VM{
			Address: AgentVM(like.Address, a.Name), Name: hostLabel(like.Name + "-" + a.Name),
			Image: image, Driver: like.Driver, Arch: like.Arch, CPUs: like.CPUs, Memory: like.Memory, Running: like.Running,
			Env: openEnv(like), Cmdline: like.Cmdline, Ready: like.Ready, Labels: like.Labels, Isolated: true,
			Origins: map[string]Pos{"": a.Origin},
		}
		for _, s := range like.Shares {
			if s.Guest == DevenvProject {
				s.Project = true // nobody would look at what an agent left there
				vm.Shares = append(vm.Shares, s)
				vm.Origins[s.Attribute()] = like.Origin(s.Attribute())
			}
		}
		if v, ok := e.stack.Volumes[agentVolume(like.Address, a.Name)]; ok && a.Install != "" {
			m := Mount{Volume: v.Address, Path: AgentPrefix, Size: v.Size}
			vm.Mounts, vm.Origins[m.Attribute()] = []Mount{m}, v.Origin
		}
		if other, taken := e.stack.VMs[vm.Address]; taken && other.Isolated {
			continue // told as a duplicate agent
		}
		// Of a vm block with that address, the names clash too.
		e.claims.addName(vm.Name, vm.Address, n.block.at)
		e.stack.VMs[vm.Address] = vm
	}
}

// openEnv is the environment of a machine without what no screen may show.
func openEnv(like VM) map[string]string {
	env := maps.Clone(like.Env)
	maps.DeleteFunc(env, func(name, _ string) bool {
		return slices.Contains(like.Sensitive, "env."+name)
	})
	return env
}
