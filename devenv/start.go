package devenv

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lkup/lkup/spec"
)

// toolchain is what a project takes beyond the template dev.
type toolchain struct {
	why      string
	packages []string
	setup    []string
	env      [][2]string
}

// venv is where a Python project's packages are: in the cache, since what lies
// in the project is the host's.
const venv = "/root/.cache/venv"

// toolchains are what a project's files ask for.
func toolchains(t tree) []toolchain {
	var all []toolchain
	if t.has("go.mod") {
		all = append(all, toolchain{why: "go.mod", packages: []string{"golang-go"}})
	}
	if _, ok := t.manifest(); ok {
		all = append(all, t.nodeToolchain())
	}
	if file := t.first("requirements.txt", "pyproject.toml"); file != "" {
		install := "-r requirements.txt"
		if file == "pyproject.toml" {
			install = "-e ."
		}
		all = append(all, toolchain{
			why: file, packages: []string{"python3-pip", "python3-venv"},
			setup: []string{"python3 -m venv " + venv, venv + "/bin/pip install " + install},
			env:   [][2]string{{"PATH", venv + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
		})
	}
	if t.has("composer.json") {
		all = append(all, toolchain{why: "composer.json", packages: []string{"composer", "php-cli", "php-mbstring", "php-xml"}, setup: []string{"composer install"}})
	}
	if t.has("Gemfile") {
		all = append(all, toolchain{why: "Gemfile", packages: []string{"ruby-bundler", "ruby-dev"}, setup: []string{"bundle install"}})
	}
	if t.has("Cargo.toml") {
		all = append(all, toolchain{why: "Cargo.toml", packages: []string{"cargo"}})
	}
	return append(all, t.tools())
}

// tools are what the project is served and tested by. A Python project that
// names what it needs has its modules from there.
func (t tree) tools() (tc toolchain) {
	commands := [][]string{}
	for _, s := range Servers(t) {
		commands = append(commands, s.Command)
		break // which is the one that is taken
	}
	for _, tester := range Testers(t) {
		commands = append(commands, tester.Command)
	}
	needs := t.pythonNeeds()
	for _, command := range commands {
		for _, tool := range Tools(command) {
			if !tool.module || strings.TrimSpace(needs) == "" {
				tc.packages = append(tc.packages, tool.Packages...)
			}
		}
	}
	return tc
}

func (t tree) nodeToolchain() toolchain {
	m, _ := t.manifest()
	manager, _ := t.packageManager(m)
	if manager == "npm" && len(m.Dependencies)+len(m.DevDependencies) == 0 {
		return toolchain{why: "package.json", packages: []string{"nodejs"}}
	}
	tc := toolchain{why: "package.json", packages: []string{"nodejs", "npm"}}
	install := manager + " install"
	if manager == "npm" && t.has("package-lock.json") {
		install = "npm ci"
	}
	if manager != "npm" { // which Debian does not have under that name
		tc.setup = append(tc.setup, "command -v "+manager+" || npm install -g "+manager)
	}
	tc.setup = append(tc.setup, install)
	return tc
}

// Start is a stack file with a devenv block that fits the project: what stands
// for a directory that has none. stack is the stack's name, empty for no stack
// block; cpus is how many the host has.
func Start(project fs.FS, stack string, cpus int) []byte {
	var b strings.Builder
	if stack != "" {
		fmt.Fprintf(&b, "stack %q {}\n\n", stack)
	}
	b.WriteString("devenv \"main\" {\n")
	if cpus == 1 {
		b.WriteString("  cpus = 1\n")
	}
	var packages, setup []string
	var env [][2]string
	for _, tc := range toolchains(tree{project}) {
		packages, setup, env = append(packages, tc.packages...), append(setup, tc.setup...), append(env, tc.env...)
	}
	if packages = missing(packages); len(packages) > 0 {
		fmt.Fprintf(&b, "  packages = %s\n", texts(packages))
	}
	if len(setup) > 0 {
		b.WriteString("  setup = [\n")
		for _, line := range setup {
			fmt.Fprintf(&b, "    %q,\n", line)
		}
		b.WriteString("  ]\n")
	}
	for _, e := range env {
		fmt.Fprintf(&b, "  env = { %s = %q }\n", e[0], e[1])
	}
	b.WriteString("}\n")
	text := strings.Replace(b.String(), "{\n}", "{}", 1)
	formatted, diags := spec.Format("lkup.hcl", []byte(text))
	if diags.HasErrors() {
		panic(diags) // every text in it is ours
	}
	return formatted
}

// missing are the packages that the template dev has not, each once.
func missing(packages []string) []string {
	var all []string
	for _, name := range packages {
		if name != "make" && name != "python3" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

func texts(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
