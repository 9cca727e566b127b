package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Devenv is a machine for a working directory, and what is done in it. The
// machine itself is the VM of the same address.
type Devenv struct {
	Address Address  `json:"address"`
	Project string   `json:"project"` // relative to the stack's directory, or absolute; seen as DevenvProject
	Setup   []string `json:"setup,omitempty"`
	Shell   []string `json:"shell,omitempty"` // none: the guest's own
	Serve   Serve    `json:"serve,omitzero"`
	Tests   []Test   `json:"tests,omitempty"` // as written
	// Docker says that the guest runs a Docker Engine.
	Docker bool    `json:"docker,omitempty"`
	Agents []Agent `json:"agents,omitempty"` // as written
	Origin Pos     `json:"-"`
}

// Serve says how the project is served. What is empty is found out by looking
// at the project.
type Serve struct {
	Command []string `json:"command,omitempty"`
	Port    int      `json:"port,omitempty"` // the guest's
	Host    int      `json:"host,omitempty"` // 0: a free one
	Path    string   `json:"path,omitempty"` // of the URL that answers once it is up
	// Restart says whether the server is started again when files of the
	// project change; nil if that is found out.
	Restart *bool `json:"restart,omitempty"`
}

// Test is one command that tests the project.
type Test struct {
	Name      string   `json:"name"`
	Command   []string `json:"command,omitempty"`   // none: found out by looking at the project
	Artifacts []string `json:"artifacts,omitempty"` // paths in the guest, relative to the project
}

const (
	// DevenvProject is where a devenv's guest sees the project.
	DevenvProject = "/app"
	// devenvTemplate is the template that a devenv is made from by default.
	devenvTemplate = "dev"
	// dockerTemplate is the one of a devenv with a Docker Engine, and dockerData
	// is where that keeps its images and containers.
	dockerTemplate = "docker"
	dockerData     = "/var/lib/docker"
	// packagesVariable is the variable of a template that names more packages.
	packagesVariable = "PACKAGES"

	devenvMemory    = 4096 // MiB: half of it is what the unpacked image may take
	devenvCPUs      = 2
	devenvTimeout   = "10m" // the image is large
	devenvCache     = "/root/.cache"
	devenvCacheSize = 20 * 1024 // MiB; it takes no space until it is written to
)

// addDevenvs declares a VM for each devenv block.
func (d *declarations) addDevenvs(blocks []*block, rep *report) {
	for _, b := range blocks {
		switch {
		case d.within != "":
			rep.fail(b.at, "Misplaced devenv", "Only the stack files of the project itself take devenv blocks. Move it to one of those.")
		case b.name != "":
			d.put(&node{kind: "vm", name: b.name, block: b}, rep)
		}
	}
}

// devenvDefaults are those of a machine to work in.
func (i *instance) devenvDefaults() {
	if i.node.block.schema != devenvSchema {
		return
	}
	i.vm.CPUs, i.vm.Memory = devenvCPUs, devenvMemory
	i.vm.Ready.Timeout, _ = parseDuration(devenvTimeout)
}

// devenvImage reads template or image, and puts packages into a template.
func (i *instance) devenvImage() {
	b := i.node.block
	if b.args["image"] != nil && b.args["template"] != nil {
		i.failed = true
		i.fail(b.args["template"].at, "Both image and template", "%s has an image already. Take one of the two out.", i.address)
		return
	}
	packages := i.packages()
	at, from := b.at, cty.StringVal("builtin:"+devenvTemplate)
	plain := from
	for _, docker := range b.blocks["docker"] {
		at, from = docker.at, cty.StringVal("builtin:"+dockerTemplate)
	}
	for _, name := range []string{"image", "template"} {
		arg := b.args[name]
		if arg == nil {
			continue
		}
		v, ok := i.known(b, name, "image", cty.DynamicPseudoType)
		if !ok {
			if !i.failed && !i.node.tainted {
				i.wrong(b, name, "Missing "+name, "The %s is null. Take it out for the template %q, or write: template = template.NAME", name, devenvTemplate)
			}
			return
		}
		if name == "template" && v.Type() == cty.String && !strings.Contains(v.AsString(), ":") && !strings.HasSuffix(v.AsString(), ".yml") {
			v = cty.StringVal("template:" + v.AsString())
		}
		at, from, plain = arg.expr.Range(), v, v
	}
	i.vm.Image = i.devenvImageOf(from, at, packages, i.node.name)
	i.agentImage = i.vm.Image
	if len(b.blocks["agent"]) > 0 && from.Type() == cty.String && !from.RawEquals(plain) && !i.failed {
		// An engine without a way out is of little use; tools to work with are.
		i.agentImage = i.devenvImageOf(plain, at, packages, i.node.name+"-agents")
	}
}

// devenvImageOf is an image, with packages in it if there are any.
func (i *instance) devenvImageOf(from cty.Value, at hcl.Range, packages []string, name string) Address {
	a, detail := i.imageOf(from, at)
	if detail != "" {
		i.failed = true
		i.fail(at, "Invalid image", "%s", detail)
		return ""
	}
	if len(packages) > 0 {
		return i.addPackages(i.stack.Images[a], packages, name)
	}
	return a
}

// addPackages makes an image of the devenv's own of the template.
func (i *instance) addPackages(img Image, packages []string, name string) Address {
	b := i.node.block
	if img.Template == nil {
		i.wrong(b, "packages", "Packages without a template", "Packages are put into an image that lkup builds, and %s is one that is ready. Leave image out, or write a template that has what you need: template = template.NAME", img.Address)
		return img.Address
	}
	own := *img.Template
	own.Vars = maps.Clone(own.Vars)
	if own.Vars == nil {
		own.Vars = map[string]string{}
	}
	if _, taken := own.Vars[packagesVariable]; taken {
		i.wrong(b, "packages", "Packages given twice", "%s gives the variable %s of its template a value already. Take one of the two out.", img.Address, packagesVariable)
		return img.Address
	}
	own.Vars[packagesVariable] = strings.Join(packages, ",")
	img = Image{Address: i.address + ".template." + Address(name), Template: &own, Arch: img.Arch, Origin: position(b.args["packages"].at)}
	i.stack.Images[img.Address] = img
	return img.Address
}

func (i *instance) packages() []string {
	b := i.node.block
	all := i.plainWords(b, "packages")
	for _, name := range all {
		if !validPackage(name) {
			i.wrong(b, "packages", "Invalid package", "%q is no name of a Debian package: those are lower case letters, digits and + - . with =VERSION behind it, if need be. Write, for example: packages = [\"golang-go\", \"nodejs\"]", name)
			return nil
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func validPackage(text string) bool {
	name, version, versioned := strings.Cut(text, "=")
	plain := func(s, more string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(more, r)
		})
	}
	if versioned && !plain(strings.ToLower(version), "+-.:~") {
		return false
	}
	return plain(name, "+-.") && name[0] != '-' && name[0] != '.' && name[0] != '+'
}

// plainWords reads a list of texts that are shown and kept.
func (i *instance) plainWords(b *block, name string) []string {
	all := i.words(b, name, "")
	arg := b.args[name]
	if arg == nil || i.secretly(arg) {
		return nil
	}
	for _, word := range all {
		if strings.ContainsRune(word, 0) {
			i.wrong(b, name, "Invalid "+name, "It contains a zero byte, which no command can hold. Take it out.")
			return nil
		}
	}
	return all
}

// secretly reports a sensitive value where it would be shown and kept.
func (i *instance) secretly(arg *argument) bool {
	if !arg.ok || !arg.value.ContainsMarked() {
		return false
	}
	i.failed = true
	i.fail(arg.expr.Range(), "Sensitive value", "%q is shown and kept, and a sensitive value is in it. Give it to the machine by env, and write the variable of the environment here.", arg.name)
	return true
}

// command reads a command: a list of words.
func (i *instance) command(b *block, name, example string) []string {
	words := i.plainWords(b, name)
	if b.args[name] != nil && words != nil && (len(words) == 0 || words[0] == "") {
		i.wrong(b, name, "Invalid "+name, "It names no program. Write, for example: %s = %s", name, example)
	}
	return words
}

// devenv reads what a devenv block has and a vm block has not.
func (i *instance) devenv() {
	b := i.node.block
	if b.schema != devenvSchema {
		return
	}
	d := Devenv{Address: i.address, Project: ".", Origin: position(b.at)}
	if v, ok := i.known(b, "project", "", cty.String); ok {
		d.Project = v.AsString()
		if detail := badHostPath(d.Project); detail != "" {
			i.wrong(b, "project", "Invalid path", "%s", detail)
		}
	}
	i.devenvShare(d.Project)
	size := i.cacheSize()
	i.caches(size)
	d.Setup = i.plainWords(b, "setup")
	for _, line := range d.Setup {
		if strings.TrimSpace(line) == "" {
			i.wrong(b, "setup", "Invalid setup", "One of its commands is empty. Each is a line for the shell, such as: setup = [\"npm ci\"]")
			break
		}
	}
	d.Shell = i.command(b, "shell", `["bash", "-l"]`)
	for _, serve := range b.blocks["serve"] {
		d.Serve = i.serve(serve)
	}
	for _, test := range b.blocks["test"] {
		d.Tests = append(d.Tests, i.test(test, d.Tests))
	}
	for _, docker := range b.blocks["docker"] {
		d.Docker, i.vm.Docker = true, true
		i.dockerVolume(size, docker.at)
	}
	for _, agent := range b.blocks["agent"] {
		d.Agents = append(d.Agents, i.agent(agent, d.Agents, size))
	}
	i.stack.Devenvs[i.address] = d
}

// devenvShare shows the project in the guest.
func (i *instance) devenvShare(project string) {
	for _, other := range i.vm.Shares {
		if other.Guest == DevenvProject {
			i.failed = true
			i.fail(i.node.block.at, "Duplicate share", "A devenv shows its project in %s, and %s shows %q there. Give that share another path, or write: project = %[3]q", DevenvProject, i.address, other.Host)
			return
		}
	}
	s := Share{Host: project, Guest: DevenvProject, Project: true}
	if v, ok := i.known(i.node.block, "protected", "", cty.Bool); ok {
		s.Project = v.True()
	}
	at := i.node.block.at
	if arg := i.node.block.args["project"]; arg != nil {
		at = arg.at
	}
	i.origin(s.Attribute(), at)
	i.vm.Shares = append(i.vm.Shares, s)
}

func (i *instance) serve(b *block) Serve {
	s := Serve{Command: i.command(b, "command", `["npm", "run", "dev"]`)}
	s.Port = i.fixedPort(b, "port", 8000)
	s.Host = i.hostPort(b)
	if v, ok := i.known(b, "path", "", cty.String); ok {
		if s.Path = v.AsString(); !strings.HasPrefix(s.Path, "/") || strings.ContainsFunc(s.Path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			i.wrong(b, "path", "Invalid path", "It is the path of a URL that answers once the server is up. Write, for example: path = \"/healthz\"")
		}
	}
	if v, ok := i.known(b, "restart", "", cty.Bool); ok {
		restart := v.True()
		s.Restart = &restart
	}
	if len(s.Command) > 0 && s.Port == 0 && !i.failed {
		i.failed = true
		i.fail(b.at, "Missing port", "Of a command of your own, the port that it listens on is not known. Add: port = 8000")
	}
	return s
}

// hostPort reads a port of the host, or "auto".
func (i *instance) hostPort(b *block) int {
	v, ok := i.known(b, "host", "", cty.DynamicPseudoType)
	if !ok || v.Type() == cty.String && v.AsString() == "auto" {
		return 0
	}
	return i.fixedPort(b, "host", 8000)
}

// fixedPort reads a port number, or 0 if there is none.
func (i *instance) fixedPort(b *block, name string, example int) int {
	v, ok := i.known(b, name, "", cty.Number)
	if !ok {
		return 0
	}
	n, whole := wholeNumber(v)
	if !whole || n < 1 || n > mostPort {
		i.wrong(b, name, "Invalid "+name, "%q is a whole number from 1 to %d. Write, for example: %s = %d", name, mostPort, name, example)
		return 0
	}
	return n
}

func (i *instance) test(b *block, earlier []Test) Test {
	t := Test{Name: b.name, Command: i.command(b, "command", `["go", "test", "./..."]`), Artifacts: i.plainWords(b, "artifacts")}
	if t.Name == "" {
		t.Name = "test"
	}
	if slices.ContainsFunc(earlier, func(o Test) bool { return o.Name == t.Name }) {
		i.failed = true
		i.fail(b.at, "Duplicate test", "%s has a test %q already. Give one of them another name: test \"unit\" { ... }", i.address, t.Name)
	}
	for _, p := range t.Artifacts {
		if clean := path.Clean(p); p == "" || clean != p || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") || clean == "/" {
			i.wrong(b, "artifacts", "Invalid path", "%q is no file or directory of the guest, relative to the project or absolute, without detours. Write, for example: artifacts = [\"report.xml\"]", p)
		}
	}
	return t
}

func (i *instance) plainText(b *block, name, example string) string {
	v, ok := i.known(b, name, "", cty.String)
	if !ok || i.secretly(b.args[name]) {
		return ""
	}
	if text := v.AsString(); text != "" && !strings.ContainsFunc(text, unprintable) {
		return text
	}
	i.wrong(b, name, "Invalid "+name, "It is empty or cannot be printed. Write, for example: %s", example)
	return ""
}

// plainEnv reads an environment that is shown and kept.
func (i *instance) plainEnv(b *block) map[string]string {
	v, ok := i.known(b, "env", "", cty.Map(cty.String))
	if !ok || i.secretly(b.args["env"]) {
		return nil
	}
	env := stringMap(v)
	for _, name := range sortedKeys(env) {
		if !validEnvName(name) || strings.ContainsRune(env[name], 0) {
			i.wrong(b, "env", "Invalid env name", "%s", fmt.Sprintf("%q cannot be in an environment: names are letters, digits and _, not starting with a digit, and values have no zero byte.%s", name, envOffer(name)))
		}
	}
	return env
}
